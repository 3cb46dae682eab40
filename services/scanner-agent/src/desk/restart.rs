//! What goes on after a restart: everything that was left on disk.

use std::sync::Arc;

use bytes::Bytes;
use ovomesh_api::Scan;
use ovomesh_spool::{Entry, Left, Released};
use tokio::time::Instant;

use super::{Desk, Known, sample_bytes};
use crate::case::{Case, Progress};
use crate::feed::{self, FRESH};
use crate::spooled::{self, Kept};

impl Desk {
    /// Goes on with what an agent before this one left.
    pub(super) fn go_on(self: &Arc<Self>, left: Left) {
        self.tell_again(&left);
        for released in left.settled {
            self.remember(released);
        }
        for released in left.unsettled {
            self.settle_again(released);
        }
        for entry in left.undecided {
            self.decide_again(entry);
        }
    }

    /// Sorters are told what was recorded just before and nobody has acted on.
    fn tell_again(&self, left: &Left) {
        let mut recorded: Vec<&Released> = left.settled.iter().chain(&left.unsettled).collect();
        recorded.sort_unstable_by_key(|released| released.entry.position());
        let is_old = |of: &&Released| self.spool.verdict(of).is_ok_and(|bytes| fresh_since(bytes).is_none());
        let old = recorded.iter().rposition(is_old).map_or(0, |last| last + 1);
        for released in recorded.drain(old..) {
            // Whoever goes on with it says what cannot be read.
            let Ok(bytes) = self.spool.verdict(released) else { continue };
            let (Some(at), Ok(row)) = (fresh_since(bytes.clone()), spooled::read_row(bytes)) else {
                continue;
            };
            self.feed.released(&row, at);
            if released.is_actuated()
                && let Some(line) = feed::line_of(&row)
            {
                self.feed.acknowledge(&line, &row.scan_id);
            }
        }
    }

    /// A scan has what is left of its time.
    fn decide_again(self: &Arc<Self>, entry: Entry) {
        let scan = self.spool.scan(&entry).map_err(|error| error.to_string()).and_then(spooled::read_scan);
        let scan = scan.and_then(|Kept { scan, received_at, deadline, stamp }| {
            let bytes = sample_bytes(&scan);
            let scan = Scan::parse(scan, u64::MAX, received_at).map_err(|error| error.to_string())?;
            Ok((scan.meta, bytes, deadline, stamp))
        });
        match scan {
            Ok((meta, bytes, deadline, stamp)) => {
                let case = Arc::new(Case::new(&meta, bytes, deadline));
                self.scans.lock().insert(case.id.clone(), Known::Open(case.clone()));
                case.tell(Progress::Accepted);
                let desk = self.clone();
                self.lifecycle.spawn("scan", async move { desk.decide(case, meta, stamp, entry).await });
            }
            Err(error) => {
                tracing::error!(id = entry.id, error, "a scan cannot be read");
                self.spool.decided(&entry);
            }
        }
    }

    /// A verdict that is not known to be stored.
    fn settle_again(self: &Arc<Self>, released: Released) {
        match self.read_row(&released) {
            Ok(row) => {
                let case = Arc::new(Case::of_row(&row));
                self.scans.lock().insert(case.id.clone(), Known::Open(case.clone()));
                let (desk, row) = (self.clone(), Arc::new(row));
                let stored = self.release(&case, &row);
                self.lifecycle.spawn("verdict", async move {
                    desk.until_stored(case, row, released, stored).await;
                });
            }
            Err(error) => tracing::error!(id = released.entry.id, error, "a verdict cannot be read"),
        }
    }
}

/// Since when a verdict is recorded, if a sorter that was away should still be told.
fn fresh_since(recorded: Bytes) -> Option<Instant> {
    let age = spooled::age(recorded).filter(|age| *age <= FRESH)?;
    Instant::now().checked_sub(age)
}
