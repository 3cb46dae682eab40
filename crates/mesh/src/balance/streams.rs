//! The life of replicas and of the streams to them.

use std::time::Duration;

use tokio::time::Instant;

use super::replica::{Link, Replica};
use super::{Action, Balancer, CallId, Credit, Epoch, MsgId, Order, ReplicaId};
use crate::Phase;

/// What a stream should write next.
#[derive(Debug)]
pub(crate) enum Write<'a, P> {
    /// This call, now.
    Message {
        msg: MsgId,
        /// Time left; None: no deadline.
        budget: Option<Duration>,
        alone: bool,
        payload: &'a P,
    },
    /// Nothing for the moment.
    Nothing,
    /// Nothing ever.
    End,
}

/// A replica as it is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
    pub(crate) losses: u64,
}

impl<P> Balancer<P> {
    /// Discovery found one.
    pub(crate) fn add(&mut self) -> ReplicaId {
        let id = ReplicaId(self.id());
        self.replicas.insert(id, Replica::new());
        id
    }

    /// Discovery lost one: it finishes what it has.
    pub(crate) fn remove(&mut self, id: ReplicaId, now: Instant) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.leaving = true;
            self.withdraw(id, now);
        }
    }

    /// Nothing of it is left.
    pub(crate) fn forget(&mut self, id: ReplicaId, now: Instant) {
        // A stream that is still there ends here.
        self.ended(id, super::Ending::Orderly, now);
        self.replicas.remove(&id);
        self.rebalance(now);
    }

    /// A stream is being opened. It may not take calls before its first credit.
    pub(crate) fn open(&mut self, id: ReplicaId) -> Option<Epoch> {
        let replica = self.replicas.get_mut(&id)?;
        replica.epoch = Epoch(replica.epoch.0 + 1);
        Some(replica.epoch)
    }

    /// A credit came: the first opens the stream for calls, each next one may only grow it.
    pub(crate) fn credit(&mut self, id: ReplicaId, credit: Credit, now: Instant) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        match &mut replica.link {
            Some(link) => {
                link.credit.messages = link.credit.messages.max(credit.messages);
                link.credit.bytes = link.credit.bytes.max(credit.bytes);
            }
            None => {
                replica.link = Some(Link::new(credit));
                replica.health.renew(now);
            }
        }
        self.rebalance(now);
    }

    /// The server asked to send nothing new.
    pub(crate) fn drain(&mut self, id: ReplicaId, now: Instant) {
        if let Some(link) = self.replicas.get_mut(&id).and_then(|replica| replica.link.as_mut()) {
            link.draining = true;
            self.withdraw(id, now);
        }
    }

    /// Takes back what was not written yet.
    fn withdraw(&mut self, id: ReplicaId, now: Instant) {
        let link = self.replicas.get_mut(&id).and_then(|replica| replica.link.as_mut());
        for call in link.map(Link::recall).unwrap_or_default() {
            self.requeue(call);
        }
        self.rebalance(now);
    }

    /// What the stream of this epoch should write next. What it returns counts as sent.
    pub(crate) fn write(&mut self, id: ReplicaId, epoch: Epoch, now: Instant) -> Write<'_, P> {
        let due = |call: &CallId| self.calls.get(call)?.deadline;
        let next = self.replicas.get(&id).and_then(|replica| replica.link.as_ref()?.next());
        if next.and_then(|(call, _)| due(&call)).is_some_and(|at| at <= now) {
            // The timer is late. All that expired goes, and what is promised next is in time.
            self.tick(now);
        }
        let Some(replica) = self.replicas.get_mut(&id).filter(|replica| replica.epoch == epoch) else {
            return Write::End;
        };
        let Some(link) = &mut replica.link else { return Write::Nothing };
        if link.closed {
            return Write::End;
        }
        let Some((call_id, msg)) = link.next() else { return Write::Nothing };
        let Some(call) = self.calls.get_mut(&call_id) else { return Write::Nothing };
        link.written(Order::new(call.deadline, call_id), msg);
        call.attempts += 1;
        call.waited = now.saturating_duration_since(call.submitted);
        Write::Message {
            msg,
            budget: call.deadline.map(|at| at.saturating_duration_since(now)),
            alone: call.losses > 0,
            payload: &call.payload,
        }
    }

    /// After anything that changes what a replica is good for.
    pub(super) fn rebalance(&mut self, now: Instant) {
        self.review_ejections();
        self.close_idle();
        self.note_phases(now);
        self.pump(now);
    }

    /// Half-closes the streams that will get nothing more and have nothing that somebody waits for.
    pub(super) fn close_idle(&mut self) {
        let ending = self.closing && self.calls.is_empty();
        for (&id, replica) in &mut self.replicas {
            let Some(link) = &mut replica.link else { continue };
            if !link.closed && (ending || replica.leaving || link.draining) && link.live() == 0 {
                link.closed = true;
                self.actions.push(Action::Close(id));
            }
        }
    }

    /// Whether one more may be ejected: never more than half of those that serve.
    pub(super) fn may_eject(&self) -> bool {
        let (serving, ejected) = self.ejected();
        (ejected + 1) * 2 <= serving
    }

    /// Takes ejected ones back, those that are due soonest first, when others went and they are more than half.
    fn review_ejections(&mut self) {
        loop {
            let (serving, ejected) = self.ejected();
            if ejected * 2 <= serving {
                return;
            }
            let serving = self.replicas.values_mut().filter(|replica| replica.serving().is_some());
            let soonest = serving.filter(|r| r.health.ejected()).min_by_key(|r| r.health.until());
            let Some(replica) = soonest else { return };
            replica.health.pardon();
        }
    }

    fn ejected(&self) -> (usize, usize) {
        let serving = self.replicas.values().filter(|replica| replica.serving().is_some());
        serving.fold((0, 0), |(all, ejected), r| (all + 1, ejected + usize::from(r.health.ejected())))
    }

    /// A replica as it is just now.
    pub(crate) fn snapshot(&self, id: ReplicaId, now: Instant) -> Option<Snapshot> {
        let replica = self.replicas.get(&id)?;
        Some(Snapshot {
            phase: replica.phase_at(self.config.slow_after, now),
            messages: replica.link.as_ref().map_or(0, Link::messages),
            bytes: replica.link.as_ref().map_or(0, Link::bytes),
            losses: replica.losses,
        })
    }
}
