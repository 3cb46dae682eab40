//! Rows of one scan are written one after the other, so that the writer of the second finds the first.
//!
//! Only within this process: another results-store may write the same scan in the same moment.

use std::collections::HashSet;

use ovomesh_api::ScanKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The scans that are being written.
#[derive(Default)]
pub(super) struct Turns {
    busy: Mutex<HashSet<ScanKey>>,
    freed: Notify,
}

/// The right to write some scans; given back when it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    scans: HashSet<ScanKey>,
}

impl Turns {
    /// Waits until none of these is being written by others. Takes all at once, so nobody waits in a circle.
    pub async fn take(&self, scans: HashSet<ScanKey>) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Before the look, so that nothing is missed.
            freed.as_mut().enable();
            {
                let mut busy = self.busy.lock();
                if busy.is_disjoint(&scans) {
                    busy.extend(scans.iter().cloned());
                    break;
                }
            }
            freed.await;
        }
        Turn { turns: self, scans }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut busy = self.turns.busy.lock();
        busy.retain(|scan| !self.scans.contains(scan));
        drop(busy);
        self.turns.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use ovomesh_api::{ScanId, Site};

    use super::*;

    #[test]
    fn a_scan_is_written_by_one_at_a_time() {
        let scans = |ids: &[&str]| -> HashSet<_> {
            let site = Site::parse("s").unwrap();
            ids.iter().map(|id| ScanKey::new(&site, &ScanId::parse(id).unwrap())).collect()
        };
        let turns = Turns::default();
        let first = turns.take(scans(&["1", "2"])).now_or_never();
        assert!(first.is_some() && turns.take(scans(&["3"])).now_or_never().is_some());
        let mut second = Box::pin(turns.take(scans(&["2", "3"])));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
        assert!(turns.busy.lock().is_empty());
    }
}
