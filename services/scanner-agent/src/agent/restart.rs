//! What goes on after a restart: everything that was left on disk.

use std::sync::Arc;

use bytes::Bytes;
use ovomesh_api::scan::sample_bytes;
use ovomesh_api::{RecordedRow, Scan, ScanKey};
use ovomesh_spool::{Entry, Released, SpoolContents};
use tokio::time::Instant;

use super::{Agent, ScanState};
use crate::feed::{self, FRESH};
use crate::in_flight::{InFlightScan, OnDisk, Progress};
use crate::spooled::{self, SpooledScan};

impl Agent {
    /// Goes on with what an agent before this one left.
    pub(super) fn go_on(self: &Arc<Self>, left: SpoolContents) {
        self.tell_again(&left);
        for released in left.settled {
            match self.key_of(&released) {
                Ok(key) => self.remember(key, released),
                Err(error) => {
                    tracing::error!(record = released.entry.id, error, "a stored verdict cannot be read");
                    self.spool.forget(&released);
                }
            }
        }
        for released in left.unsettled {
            self.resume_settling(released);
        }
        for entry in left.undecided {
            self.decide_again(entry);
        }
    }

    /// Sorters are told what was recorded just before and nobody has acted on.
    fn tell_again(&self, left: &SpoolContents) {
        let mut recorded: Vec<&Released> = left.settled.iter().chain(&left.unsettled).collect();
        recorded.sort_unstable_by_key(|released| released.entry.position());
        let is_old = |of: &&Released| self.spool.verdict(of).is_ok_and(|bytes| fresh_since(bytes).is_none());
        let old = recorded.iter().rposition(is_old).map_or(0, |last| last + 1);
        for released in recorded.drain(old..) {
            // Whoever goes on with it says what cannot be read.
            let Ok(bytes) = self.spool.verdict(released) else { continue };
            let (Some(at), Ok(recorded)) = (fresh_since(bytes.clone()), RecordedRow::read(&bytes)) else {
                continue;
            };
            let row = recorded.row();
            self.feed.released(row, at);
            if released.is_actuated()
                && let Some(line) = feed::line_of(row)
            {
                self.feed.acknowledge(line, &row.key(), None);
            }
        }
    }

    /// A scan has what is left of its time.
    fn decide_again(self: &Arc<Self>, entry: Entry) {
        let scan = self.spool.scan(&entry).map_err(|error| error.to_string()).and_then(spooled::read_scan);
        let scan = scan.and_then(|SpooledScan { scan, received_at, deadline, stamp }| {
            let bytes = sample_bytes(&scan);
            let scan = Scan::parse(scan, u64::MAX, received_at).map_err(|error| error.to_string())?;
            Ok((scan.meta, bytes, deadline, stamp))
        });
        match scan {
            Ok((meta, bytes, deadline, stamp)) => {
                let in_flight = Arc::new(InFlightScan::of_entry(&entry, &meta, bytes, deadline));
                self.insert(in_flight.key.clone(), ScanState::InFlight(in_flight.clone()));
                in_flight.is_on_disk(OnDisk::Scan(entry.clone()));
                in_flight.tell(Progress::Accepted);
                let agent = self.clone();
                self.spawn(
                    in_flight.clone(),
                    async move { agent.decide(in_flight, meta, stamp, entry).await },
                );
            }
            Err(error) => {
                tracing::error!(record = entry.id, error, "a scan cannot be read");
                self.spool.decided(&entry);
            }
        }
    }

    /// A verdict that is not known to be stored.
    fn resume_settling(self: &Arc<Self>, released: Released) {
        match self.read_row(&released) {
            Ok(row) => {
                let in_flight = Arc::new(InFlightScan::of_row(&released.entry, row.row()));
                self.insert(in_flight.key.clone(), ScanState::InFlight(in_flight.clone()));
                let agent = self.clone();
                // Sorters received it before.
                in_flight.is_on_disk(OnDisk::Verdict(released.clone(), Instant::now()));
                let stored = self.release(&in_flight, &row);
                self.spawn(in_flight.clone(), async move {
                    agent.until_stored(in_flight, row, released, stored).await;
                });
            }
            Err(error) => tracing::error!(record = released.entry.id, error, "a verdict cannot be read"),
        }
    }

    /// The scan of a verdict. Agents of version 0.1 named the scan alone: the row knows the site.
    fn key_of(&self, released: &Released) -> Result<ScanKey, String> {
        match ScanKey::from_record(&released.entry.id) {
            Some(key) => Ok(key),
            None => self.read_row(released).map(|row| row.row().key()),
        }
    }
}

/// Since when a verdict is recorded, if a sorter that was away should still be told.
fn fresh_since(recorded: Bytes) -> Option<Instant> {
    let age = spooled::age(recorded).filter(|age| *age <= FRESH)?;
    Instant::now().checked_sub(age)
}
