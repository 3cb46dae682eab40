//! What must be true inside the balancer after every event.

use tokio::time::Instant;

use crate::balance::queue::{CallClass, Order};
use crate::balance::replica::Link;
use crate::balance::{Balancer, CallState};

impl<P> Balancer<P> {
    /// Panics when the tables disagree, or when work waits although a replica is free for it.
    pub(super) fn check(&self, now: Instant) {
        let mut queued = (0, 0);
        let mut promised = std::collections::BTreeMap::<_, usize>::new();
        for (&id, call) in &self.calls {
            let order = Order::new(call.deadline, id);
            assert_eq!(self.deadlines.contains(&(call.deadline.unwrap_or(now), id)), call.deadline.is_some());
            match call.state {
                CallState::Queued => {
                    assert_eq!(self.next_at_or_after(call.class(), order), Some(order), "it is in no queue");
                    queued = (queued.0 + 1, queued.1 + call.bytes);
                }
                CallState::With(replica, _) => *promised.entry(replica).or_default() += 1,
            }
        }
        assert_eq!(queued, self.queued());
        assert!(self.deadlines.len() <= self.calls.len());
        for (id, replica) in &self.replicas {
            let live = replica.link.as_ref().map_or(0, Link::live);
            assert_eq!(live, promised.get(id).copied().unwrap_or_default());
            let Some(link) = &replica.link else { continue };
            assert!(link.messages() <= link.credit.messages as usize);
            assert!(link.messages() <= 1 || link.bytes() <= link.credit.bytes);
        }
        self.check_ejections();
        self.check_nobody_waits_for_nothing(now);
    }

    fn check_ejections(&self) {
        let serving: Vec<_> = self.replicas.values().filter(|r| r.serving().is_some()).collect();
        let ejected = serving.iter().filter(|r| r.health.ejected()).count();
        assert!(ejected * 2 <= serving.len(), "{ejected} of {} are ejected", serving.len());
    }

    /// A replica with nothing to do takes any call but one that it failed itself while others are there to take it.
    fn check_nobody_waits_for_nothing(&self, now: Instant) {
        let idle =
            |r: &&super::super::replica::Replica| r.accepting(now).is_some_and(|link| link.messages() == 0);
        if self.replicas.values().any(|replica| idle(&replica)) {
            let waiting =
                self.calls.values().filter(|call| call.state == CallState::Queued && call.avoid.is_none());
            assert_eq!(waiting.count(), 0, "calls wait although a replica is idle");
        }
    }

    fn next_at_or_after(&self, class: CallClass, order: Order) -> Option<Order> {
        let mut after = None;
        while let Some(next) = self.queue.next(class, after) {
            if next >= order {
                return Some(next);
            }
            after = Some(next);
        }
        None
    }
}
