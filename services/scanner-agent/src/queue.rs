//! What waits to be sent to a gateway: scans, the earliest deadline first, and verdicts, the oldest first.
//!
//! Only names wait here; what they name is on disk. Whoever sends something gives it back when its link breaks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

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
    pub id: String,
    /// Size of its samples as sent.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    scans: BinaryHeap<Reverse<Waiting>>,
    verdicts: VecDeque<String>,
}

impl Queue {
    /// A scan to be decided.
    pub fn scan(&self, scan: Waiting) {
        self.state.lock().scans.push(Reverse(scan));
        self.news.notify_one();
    }

    /// A verdict to be stored.
    pub fn verdict(&self, id: String) {
        self.state.lock().verdicts.push_back(id);
        self.news.notify_one();
    }

    /// The scan to send next, if there is room for its bytes; those whose time is over are dropped.
    pub fn next_scan(&self, now: Instant, room: u64) -> Option<Waiting> {
        let mut state = self.state.lock();
        while let Some(Reverse(first)) = state.scans.peek() {
            let in_time = first.deadline > now;
            if in_time && first.bytes > room {
                return None;
            }
            let first = state.scans.pop().map(|Reverse(first)| first);
            if in_time {
                return first;
            }
        }
        None
    }

    /// The verdict to send next.
    pub fn next_verdict(&self) -> Option<String> {
        self.state.lock().verdicts.pop_front()
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

    fn waiting(id: &str, deadline: Instant) -> Waiting {
        Waiting { deadline, id: id.into(), bytes: 100 }
    }

    #[test]
    fn the_most_urgent_scan_goes_first_and_one_whose_time_is_over_not_at_all() {
        let (queue, now) = (Queue::default(), Instant::now());
        for (id, ms) in [("late", 0), ("third", 30), ("first", 10), ("second", 20)] {
            queue.scan(waiting(id, now + Duration::from_millis(ms)));
        }
        let order: Vec<String> =
            std::iter::from_fn(|| queue.next_scan(now, 100)).map(|scan| scan.id).collect();
        assert_eq!(order, ["first", "second", "third"]);
        assert_eq!(queue.len(), (0, 0));
    }

    #[test]
    fn a_scan_waits_until_there_is_room_for_its_bytes() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.scan(waiting("one", now + Duration::from_millis(10)));
        assert_eq!(queue.next_scan(now, 99), None);
        assert!(queue.next_scan(now, 100).is_some_and(|scan| scan.id == "one"));
    }
}
