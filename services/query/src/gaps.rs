//! Rows that a store had written and not sent to its feed when it died: query searches the database for them, through
//! another store.
//!
//! Only the recent past of lines that were seen recently is read. Late rows, of scans that were spooled for a while, are
//! not found here: watchers receive a notice that rows may be missing, and lists have all.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::store::v1::ListLineRequest;
use ovomesh_api::{LineId, Row, time};
use tokio::time::Instant;
use tonic::Status;

use crate::stored::Stored;
use crate::stores::Stores;

/// Lines remembered, and for how long after their last row.
const LINES: usize = 4_096;
const QUIET: Duration = Duration::from_secs(3_600);
/// Scans remembered: at least the last half of these, minutes of the headline rate.
const SCANS: usize = 262_144;
/// Rows written up to this long before the last message of the store that died may be among those that it did not send:
/// its clock and ours differ, and a message takes its time.
const BEFORE: Duration = Duration::from_secs(5);
/// From a scan to its row, usually: the longest budget, and some.
const AGE: Duration = Duration::from_secs(30);
/// Rows of one search, pages of one line, rows of a page.
const ROWS: usize = 4_096;
const PAGES: usize = 8;
const PAGE: u32 = 1_000;

/// Rows and lines of the last minutes.
#[derive(Default)]
pub struct RecentRows {
    lines: HashMap<LineId, Instant>,
    hasher: RandomState,
    scans: HashSet<u64>,
    before: HashSet<u64>,
}

impl RecentRows {
    /// Takes note of rows. At most `SCANS` scans and `LINES` lines are remembered.
    pub fn note(&mut self, rows: &[Stored]) {
        let now = Instant::now();
        for Stored { row, .. } in rows {
            if self.scans.len() >= SCANS / 2 {
                self.before = std::mem::take(&mut self.scans);
            }
            self.scans.insert(self.hash(row));
            let line = &row.meta.place.line_id;
            if self.lines.len() < LINES || self.lines.contains_key(line) {
                self.lines.insert(line.clone(), now);
            }
        }
    }

    /// Whether a row was not seen recently.
    pub fn is_new(&self, row: &Row) -> bool {
        let hash = self.hash(row);
        !self.scans.contains(&hash) && !self.before.contains(&hash)
    }

    /// Of what its scan is known by.
    fn hash(&self, row: &Row) -> u64 {
        self.hasher.hash_one((row.meta.place.site(), &row.meta.scan_id))
    }

    /// The lines that had rows recently.
    pub fn lines(&mut self) -> Vec<LineId> {
        self.lines.retain(|_, last| last.elapsed() < QUIET);
        self.lines.keys().cloned().collect()
    }
}

/// The rows of `lines` that were written since `since`, or a little before.
pub async fn search(stores: &Stores, lines: Vec<LineId>, since: Timestamp) -> Result<Vec<Stored>, Status> {
    let written = since.checked_sub(BEFORE).unwrap_or(since);
    let from = written.checked_sub(AGE).unwrap_or(written);
    let mut found = Vec::new();
    for LineId { site, line } in lines {
        let (site, line) = (site.to_string(), line.to_string());
        let (from, limit) = (Some(time::to_pb(from)), PAGE);
        let mut ask = ListLineRequest { site, line, from, limit, ..Default::default() };
        for _ in 0..PAGES {
            let page = stores.list_line(ask.clone()).await?;
            found.extend(page.rows.into_iter().filter(|stored| is_since(&stored.row, written)));
            ask.token = page.next;
            if ask.token.is_empty() || found.len() >= ROWS {
                break;
            }
        }
        if found.len() >= ROWS {
            break;
        }
    }
    Ok(found)
}

fn is_since(row: &Row, written: Timestamp) -> bool {
    row.stored_at.is_some_and(|at| at >= written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_of_another_site_with_the_same_id_is_another_scan() {
        let at = |site| Row::example(site, "1", "1");
        let mut recent = RecentRows::default();
        recent.note(&[at("north").into()]);
        assert!(!recent.is_new(&at("north")) && recent.is_new(&at("south")));
    }

    fn row(n: usize) -> Row {
        Row::example("s", &(n % 9_000).to_string(), &format!("scan-{n}"))
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_is_known() {
        let mut recent = RecentRows::default();
        for n in 0..2 * SCANS {
            recent.note(&[row(n).into()]);
        }
        assert!(recent.scans.len() + recent.before.len() <= SCANS && recent.lines().len() <= LINES);
        assert!((2 * SCANS - SCANS / 2..2 * SCANS).all(|n| !recent.is_new(&row(n))));
        assert!(recent.is_new(&row(0)));
    }
}
