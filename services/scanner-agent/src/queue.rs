//! What waits to be sent to a gateway: scans, the earliest deadline first, and verdicts, the oldest first.
//!
//! Only names wait here; what they name is on disk. Whoever sends something gives it back when its link breaks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use ovomesh_api::ScanKey;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Waits for both kinds. Cheap: as many names as scans are undecided or verdicts not stored.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    news: Notify,
}

/// A scan that waits for a verdict. Ordered by its deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// When it needs none any more.
    pub deadline: Instant,
    /// The scan.
    pub key: ScanKey,
    /// Size of its samples as sent.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    scans: BinaryHeap<Reverse<Waiting>>,
    verdicts: VecDeque<ScanKey>,
}

impl Queue {
    /// A scan to be decided.
    pub fn scan(&self, scan: Waiting) {
        self.state.lock().scans.push(Reverse(scan));
        self.news.notify_one();
    }

    /// A verdict to be stored.
    pub fn verdict(&self, key: ScanKey) {
        self.state.lock().verdicts.push_back(key);
        self.news.notify_one();
    }

    /// The first scan that may be sent, if there is room for its bytes. Those whose time is over are dropped.
    pub fn next_scan(
        &self,
        now: Instant,
        room: u64,
        may_be_sent: impl Fn(&ScanKey) -> bool,
    ) -> Option<Waiting> {
        let mut state = self.state.lock();
        let mut held = Vec::new();
        let next = loop {
            let Some(Reverse(first)) = state.scans.peek() else { break None };
            let in_time = first.deadline > now;
            if in_time && may_be_sent(&first.key) && first.bytes > room {
                break None;
            }
            let Some(Reverse(first)) = state.scans.pop() else { break None };
            match in_time {
                true if may_be_sent(&first.key) => break Some(first),
                true => held.push(Reverse(first)),
                false => {}
            }
        };
        state.scans.extend(held);
        next
    }

    /// The first verdict that may be sent.
    pub fn next_verdict(&self, may_be_sent: impl Fn(&ScanKey) -> bool) -> Option<ScanKey> {
        let verdicts = &mut self.state.lock().verdicts;
        let first = verdicts.iter().position(may_be_sent)?;
        verdicts.remove(first)
    }

    /// Comes back when something was added since the last call.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Scans and verdicts that wait.
    pub fn len(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.scans.len(), state.verdicts.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(id: &str) -> ScanKey {
        ScanKey::parse("north", id).expect("a key")
    }

    fn waiting(id: &str, deadline: Instant) -> Waiting {
        Waiting { deadline, key: key(id), bytes: 100 }
    }

    fn next(queue: &Queue, now: Instant, room: u64) -> Option<String> {
        queue.next_scan(now, room, |_| true).map(|scan| scan.key.scan_id.to_string())
    }

    #[test]
    fn the_most_urgent_scan_goes_first_and_one_whose_time_is_over_not_at_all() {
        let (queue, now) = (Queue::default(), Instant::now());
        for (id, ms) in [("late", 0), ("third", 30), ("first", 10), ("second", 20)] {
            queue.scan(waiting(id, now + Duration::from_millis(ms)));
        }
        let order: Vec<String> = std::iter::from_fn(|| next(&queue, now, 100)).collect();
        assert_eq!(order, ["first", "second", "third"]);
        assert_eq!(queue.len(), (0, 0));
    }

    #[test]
    fn a_scan_waits_until_there_is_room_for_its_bytes() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.scan(waiting("one", now + Duration::from_millis(10)));
        assert_eq!(next(&queue, now, 99), None);
        assert_eq!(next(&queue, now, 100).as_deref(), Some("one"));
    }

    #[test]
    fn what_may_not_be_sent_yet_holds_nothing_else_up_and_keeps_its_turn() {
        let (queue, now) = (Queue::default(), Instant::now());
        for (n, id) in ["first", "second"].into_iter().enumerate() {
            queue.scan(waiting(id, now + Duration::from_millis(10 + n as u64)));
            queue.verdict(key(id));
        }
        let not_first = |other: &ScanKey| *other != key("first");
        assert_eq!(queue.next_scan(now, 100, not_first).map(|scan| scan.key), Some(key("second")));
        assert_eq!(queue.next_scan(now, 0, not_first), None);
        assert_eq!(next(&queue, now, 100).as_deref(), Some("first"));
        assert_eq!(queue.next_verdict(not_first), Some(key("second")));
        assert_eq!(queue.next_verdict(not_first), None);
        assert_eq!(queue.next_verdict(|_| true), Some(key("first")));
    }
}
