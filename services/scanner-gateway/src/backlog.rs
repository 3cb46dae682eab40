//! Scans taken and not yet answered: how many, and since when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// All scans in flight in this process.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    since: BTreeSet<(Instant, u64)>,
}

/// One scan in flight; leaves the backlog when dropped.
#[derive(Debug)]
pub struct InFlight {
    key: (Instant, u64),
    backlog: Backlog,
}

impl Backlog {
    /// A scan was taken.
    pub fn enter(&self, at: Instant) -> InFlight {
        let mut inner = self.0.lock();
        let key = (at, inner.next);
        inner.next += 1;
        inner.since.insert(key);
        InFlight { key, backlog: self.clone() }
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.0.lock().since.len() as u64
    }

    /// Age of the oldest.
    pub fn oldest(&self) -> Option<Duration> {
        self.0.lock().since.first().map(|(at, _)| at.elapsed())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.backlog.0.lock().since.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_scan_sets_the_age() {
        let backlog = Backlog::default();
        let first = backlog.enter(Instant::now());
        tokio::time::advance(Duration::from_secs(3)).await;
        let second = backlog.enter(Instant::now());
        assert_eq!((backlog.len(), backlog.oldest()), (2, Some(Duration::from_secs(3))));
        drop(first);
        assert_eq!((backlog.len(), backlog.oldest()), (1, Some(Duration::ZERO)));
        drop(second);
        assert_eq!(backlog.oldest(), None);
    }
}
