//! The bytes that all streams of a server may have outstanding together.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What is left for new streams.
#[derive(Debug)]
pub(super) struct Ledger {
    left: Mutex<u64>,
    freed: Notify,
}

/// A stream's share. Returned when it is dropped.
#[derive(Debug)]
pub(super) struct Grant {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Ledger {
    pub(super) fn new(bytes: u64) -> Self {
        Self { left: Mutex::new(bytes), freed: Notify::new() }
    }

    /// As much of `want` as is left, or what is left if that is not even `least`.
    pub(super) fn grant(self: &Arc<Self>, want: u64, least: u64) -> Result<Grant, u64> {
        let mut left = self.left.lock();
        let bytes = want.min(*left);
        if bytes < least {
            return Err(*left);
        }
        *left -= bytes;
        Ok(Grant { ledger: Arc::clone(self), bytes })
    }

    /// Ends when another stream has given back what it had.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

impl Grant {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more, up to `want` in all, if that is at least `step` or all that is missing. Small steps would only
    /// make messages.
    pub(super) fn grow(&mut self, want: u64, step: u64) -> bool {
        let missing = want.saturating_sub(self.bytes);
        let mut left = self.ledger.left.lock();
        let more = missing.min(*left);
        let grows = more > 0 && (more >= step || more == missing);
        if grows {
            *left -= more;
            self.bytes += more;
        }
        grows
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        *self.ledger.left.lock() += self.bytes;
        self.ledger.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_together_never_have_more_than_all_of_it() {
        let ledger = Arc::new(Ledger::new(100));
        let first = ledger.grant(60, 10).unwrap();
        let mut second = ledger.grant(60, 10).unwrap();
        assert_eq!((first.bytes(), second.bytes()), (60, 40));
        assert_eq!(ledger.grant(60, 10).unwrap_err(), 0, "no room for one message");
        assert!(!second.grow(60, 10));
        drop(first);
        assert!(second.grow(60, 10));
        assert_eq!(second.bytes(), 60);
        assert!(!second.grow(60, 10), "it has all that it wants");
        assert_eq!(ledger.grant(60, 10).unwrap().bytes(), 40);
    }
}
