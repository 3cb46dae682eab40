//! Who is next: the earliest deadline, then the order of arrival; what has no deadline comes last.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// Something to do, until when.
pub struct Job<T> {
    /// `None`: any time, behind all that have one.
    pub deadline: Option<Instant>,
    /// What.
    pub task: T,
}

/// A queue in order of deadlines.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    arrivals: u64,
}

struct Entry<T> {
    // `false` sorts first: jobs with a deadline.
    key: (bool, Option<Instant>, u64),
    task: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), arrivals: 0 }
    }
}

impl<T> Queue<T> {
    /// Puts a job.
    pub fn push(&mut self, job: Job<T>) {
        let key = (job.deadline.is_none(), job.deadline, self.arrivals);
        self.arrivals += 1;
        self.heap.push(Reverse(Entry { key, task: job.task }));
    }

    /// Takes the first job if its time is over at `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<T> {
        let Reverse(first) = self.heap.peek()?;
        if first.key.1.is_none_or(|deadline| deadline > now) {
            return None;
        }
        self.pop()
    }

    /// Takes the first job.
    pub fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Reverse(entry)| entry.task)
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_deadline_goes_first_and_none_goes_last() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for (task, after_ms) in
            [("released", None), ("later", Some(30)), ("soon", Some(10)), ("soon too", Some(10))]
        {
            let deadline = after_ms.map(|ms| now + Duration::from_millis(ms));
            queue.push(Job { deadline, task });
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["soon", "soon too", "later", "released"]);
    }

    #[test]
    fn expired_jobs_are_told_apart_from_those_in_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(Job { deadline: Some(now + Duration::from_millis(1)), task: "over" });
        queue.push(Job { deadline: Some(now + Duration::from_secs(1)), task: "in time" });
        queue.push(Job { deadline: None, task: "released" });
        let then = now + Duration::from_millis(500);
        assert_eq!(queue.pop_expired(then), Some("over"));
        assert_eq!(queue.pop_expired(then), None);
    }
}
