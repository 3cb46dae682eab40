//! The bytes that all streams of a server may have outstanding together.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::{Full, Peer, Quota, Share};

/// What is left for new streams.
#[derive(Debug)]
pub(super) struct Ledger {
    bytes: Quota,
    freed: Arc<Notify>,
}

/// A stream's share. Returned when it is dropped.
#[derive(Debug)]
pub(super) struct Grant {
    share: Share,
    /// Dropped after it.
    _freed: Freed,
}

/// Says that a share has been given back.
#[derive(Debug)]
struct Freed(Arc<Notify>);

impl Ledger {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes: Quota::shared("bytes", bytes), freed: Arc::default() }
    }

    /// As much of `want` as is left, if it is at least `least`.
    pub(super) fn grant(&self, peer: Peer, want: u64, least: u64) -> Result<Grant, Full> {
        let share = self.bytes.take_within(peer, least..=want)?;
        Ok(Grant { share, _freed: Freed(self.freed.clone()) })
    }

    /// Ends when another stream has given back what it had.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

impl Grant {
    pub(super) fn bytes(&self) -> u64 {
        self.share.units()
    }

    /// Takes more, up to `want` in all, if that is at least `step` or all that is missing. Small steps would only
    /// make messages.
    pub(super) fn grow(&mut self, want: u64, step: u64) -> bool {
        let missing = want.saturating_sub(self.bytes());
        missing > 0 && self.share.grow(step.min(missing)..=missing)
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_grows_when_another_has_given_back_what_it_had() {
        let [first, second] = [1, 2].map(|n| Peer::at([10, 0, 0, n].into()));
        let ledger = Ledger::new(100);
        let one = ledger.grant(first, 60, 10).unwrap();
        let mut two = ledger.grant(second, 60, 10).unwrap();
        assert_eq!((one.bytes(), two.bytes()), (60, 40));
        assert!(ledger.grant(second, 60, 10).is_err(), "no room for one message");
        assert!(!two.grow(60, 10));
        drop(one);
        assert!(two.grow(60, 10));
        assert_eq!(two.bytes(), 60);
        assert!(!two.grow(60, 10), "it has all that it wants");
    }

    #[test]
    fn one_peer_leaves_room_for_a_stream_of_another() {
        let [greedy, other] = [1, 2].map(|n| Peer::at([10, 0, 0, n].into()));
        let ledger = Ledger::new(100);
        let _streams: Vec<_> = (0..9).map_while(|_| ledger.grant(greedy, 20, 10).ok()).collect();
        assert_eq!(ledger.grant(other, 20, 10).unwrap().bytes(), 20);
    }
}
