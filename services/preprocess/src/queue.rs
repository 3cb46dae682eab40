//! Who is next: the earliest deadline, then the order of arrival; what has no deadline comes last.

use std::collections::BTreeMap;

use ovomesh_mesh::Due;
use tokio::time::Instant;

/// A queue in order of deadlines.
pub struct Queue<T> {
    jobs: BTreeMap<Key, T>,
    arrivals: u64,
}

/// Where a job is in the queue: when it is due, its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Due, u64);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new(), arrivals: 0 }
    }
}

impl<T> Queue<T> {
    /// Puts a job. Without a deadline it comes behind all that have one.
    pub fn push(&mut self, deadline: Option<Instant>, job: T) -> Key {
        let key = Key(deadline.into(), self.arrivals);
        self.arrivals += 1;
        self.jobs.insert(key, job);
        key
    }

    /// Takes the first job if its time is over at `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<T> {
        let first = self.jobs.first_entry()?;
        first.key().0.is_over(now).then(|| first.remove())
    }

    /// Takes the first job.
    pub fn pop(&mut self) -> Option<T> {
        self.jobs.pop_first().map(|(_, job)| job)
    }

    /// Takes a job out, if it still waits.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.jobs.remove(&key)
    }
}

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
            queue.push(deadline, task);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["soon", "soon too", "later", "released"]);
    }

    #[test]
    fn expired_jobs_are_told_apart_from_those_in_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(Some(now + Duration::from_millis(1)), "over");
        queue.push(Some(now + Duration::from_secs(1)), "in time");
        queue.push(None, "released");
        let then = now + Duration::from_millis(500);
        assert_eq!(queue.pop_expired(then), Some("over"));
        assert_eq!(queue.pop_expired(then), None);
    }
}
