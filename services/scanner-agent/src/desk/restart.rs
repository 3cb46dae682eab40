//! What goes on after a restart: everything that was left on disk.

use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::{Scan, time};
use ovomesh_spool::{Entry, Left, Released};
use tokio::time::Instant;

use super::{Desk, Known, lock, sample_bytes};
use crate::case::{Case, Progress};
use crate::feed::FRESH;
use crate::spooled::{self, Kept};

impl Desk {
    /// Goes on with what an agent before this one left.
    pub(super) fn go_on(self: &Arc<Self>, left: Left) {
        self.tell_again(&left.settled);
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

    /// Sorters are told what was released just before.
    fn tell_again(&self, settled: &[Released]) {
        let mut fresh = Vec::new();
        for released in settled.iter().rev() {
            let Ok(row) = self.read_row(released) else { continue };
            let age = row.received_at.and_then(|at| self.age(at));
            let Some(at) = age.filter(|age| *age <= FRESH).and_then(|age| Instant::now().checked_sub(age))
            else {
                break;
            };
            fresh.push((row, at));
        }
        for (row, at) in fresh.into_iter().rev() {
            self.feed.released(&row, at);
        }
    }

    fn age(&self, at: prost_types::Timestamp) -> Option<Duration> {
        let at = time::from_pb("received_at", at).ok()?;
        Some(self.clock.now().duration_since(at).try_into().unwrap_or_default())
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
                lock(&self.scans).insert(case.id.clone(), Known::Open(case.clone()));
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
                lock(&self.scans).insert(case.id.clone(), Known::Open(case.clone()));
                let desk = self.clone();
                self.lifecycle
                    .spawn("verdict", async move { desk.settle(case, Arc::new(row), released).await });
            }
            Err(error) => tracing::error!(id = released.entry.id, error, "a verdict cannot be read"),
        }
    }
}
