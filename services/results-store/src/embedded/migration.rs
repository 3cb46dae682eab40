//! Folders of releases that knew scans, eggs and pictures by their id alone: brought up to date when the store is opened.
//!
//! The new keys are made from the rows, in their order. How far that is stands in the same batch, so that a process that
//! was killed continues where it was. What the older release wrote is left alone until all is done.

use std::ops::Bound;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, PersistMode, Readable as _};
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::{EggId, LineId, ScanId, Site, time};
use prost::Message as _;

use super::read_error::ReadError;
use super::segment::{Segment, options};
use crate::keys;

/// The keyspace without which there is nothing to be done: scan id to line key.
const BY_SCAN: &str = "by_scan";
/// Scan id to picture.
const PREVIEWS: &str = "previews";
/// The line key of the last row that is done.
const PROGRESS: &str = "migration";
/// All that goes when all is done; the first of them first, for a process that is killed then.
const OLD: [&str; 4] = [BY_SCAN, "by_egg", PREVIEWS, PROGRESS];
const LAST: &str = "last row";
/// Rows in one batch: it is synced to disk in some tens of milliseconds.
const BATCH: usize = 2_048;
/// From one line of the log to the next.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Brings the only segment of a folder up to date. Does nothing when it is.
pub(super) fn run(database: &Database, segment: &Segment) -> Result<(), ReadError> {
    if database.keyspace_exists(BY_SCAN) {
        let old = Old::open(database)?;
        let (begun, mut logged, mut rows) = (Instant::now(), None::<Instant>, 0);
        loop {
            match step(database, segment, &old, BATCH)? {
                0 => break,
                done => rows += done,
            }
            if logged.is_none_or(|at| at.elapsed() > LOG_EVERY) {
                tracing::info!(
                    rows,
                    "migrating the rows of an older release; the store is ready when this is done"
                );
                logged = Some(Instant::now());
            }
        }
        tracing::info!(rows, seconds = begun.elapsed().as_secs(), "the folder is migrated to this release");
    }
    for name in OLD {
        if database.keyspace_exists(name) {
            database.delete_keyspace(database.keyspace(name, options)?)?;
        }
    }
    Ok(())
}

/// What is read of the older release, and how far that is.
struct Old {
    previews: Keyspace,
    progress: Keyspace,
}

impl Old {
    fn open(database: &Database) -> fjall::Result<Self> {
        let keyspace = |name| database.keyspace(name, options);
        Ok(Self { previews: keyspace(PREVIEWS)?, progress: keyspace(PROGRESS)? })
    }
}

/// Does the next `most` rows, at most; gives how many they were.
fn step(database: &Database, segment: &Segment, old: &Old, most: usize) -> Result<usize, ReadError> {
    let now = database.snapshot();
    let done = now.get(&old.progress, LAST)?;
    let from = done.map_or(Bound::Unbounded, |last| Bound::Excluded(last.to_vec()));
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    let (mut last, mut rows) = (None, 0);
    for entry in now.range(&segment.rows, (from, Bound::Unbounded)).take(most) {
        let (key, row) = entry.into_inner()?;
        let Some((LineId { site, .. }, _, scan_id)) = keys::read_row(&key) else {
            return Err(ReadError::Damaged(format!("a row has a key that is none: {key:?}")));
        };
        let scan_key = keys::scan(&scan_id, &site);
        // One that cannot be read may be overwritten all the same.
        let decoded = Row::decode(&*row).ok();
        if let Some(egg_key) = decoded.as_ref().and_then(|row| egg_key_of(row, &site, &scan_id)) {
            batch.insert(&segment.eggs, egg_key, key.clone());
        }
        if let Some(picture) = now.get(&old.previews, scan_id.as_str())?
            && decoded.as_ref().is_some_and(has_picture)
        {
            batch.insert(&segment.pictures, scan_key.as_slice(), picture);
        }
        batch.insert(&segment.scans, scan_key, key.clone());
        last = Some(key);
        rows += 1;
    }
    if let Some(last) = last {
        batch.insert(&old.progress, LAST, last);
        batch.commit()?;
    }
    Ok(rows)
}

/// Where a row is among its egg's.
fn egg_key_of(row: &Row, site: &Site, scan_id: &ScanId) -> Option<Vec<u8>> {
    let acquired_at = time::from_pb("acquired_at", row.acquired_at?).ok()?;
    Some(keys::egg(&EggId::parse(&row.egg_id).ok()?, site, acquired_at, scan_id))
}

/// Whether a row had a picture of its own. One that was decided without an image, in place of another, was left with that
/// one's.
fn has_picture(row: &Row) -> bool {
    row.verdict.as_ref().is_some_and(|verdict| verdict.quality.is_some())
}

#[cfg(test)]
#[path = "../../tests/support/old.rs"]
pub(super) mod written;

#[cfg(test)]
mod tests {

    use jiff::Timestamp;

    use super::*;
    use crate::embedded::tables::{Tables, database};
    use crate::store::EggRange;

    fn open(folder: &std::path::Path) -> Tables {
        Tables::open(folder, Timestamp::now()).unwrap_or_else(|_| panic!("it opens"))
    }

    /// A hundred rows of two sites, each with an egg and a picture.
    fn rows() -> Vec<Row> {
        (0..100).map(|n| written::row(if n % 2 == 0 { "north" } else { "south" }, n, true)).collect()
    }

    fn stored(tables: &Tables, scan_id: &ScanId) -> Vec<Row> {
        let found = tables.get_scan(scan_id, None).unwrap_or_default();
        found.into_iter().map(|(_, row)| Row::decode(row).unwrap()).collect()
    }

    #[test]
    fn a_migration_that_is_cut_short_anywhere_goes_on_where_it_was() {
        for steps in [0, 1, 3, 100] {
            let folder = tempfile::tempdir().unwrap();
            written::embedded(folder.path(), &rows());
            {
                let database = database(folder.path()).unwrap();
                let segment = Segment::open(&database, 0, Timestamp::now()).unwrap();
                let old = Old::open(&database).unwrap();
                let one = |_| step(&database, &segment, &old, 7).unwrap_or_default();
                let done: usize = (0..steps).map(one).sum();
                assert_eq!(done, (7 * steps).min(100));
            }
            let tables = open(folder.path());
            for row in rows() {
                let (scan_id, egg_id) =
                    (ScanId::parse(&row.scan_id).unwrap(), EggId::parse(&row.egg_id).unwrap());
                assert_eq!(stored(&tables, &scan_id), std::slice::from_ref(&row));
                let range = EggRange { egg_id, site: None, limit: 10, after: None };
                let eggs = tables.list_egg(&range).unwrap_or_default();
                assert_eq!(eggs.into_iter().map(|(_, page)| page.rows.len()).collect::<Vec<_>>(), [1]);
            }
            let segments = tables.segments.listed();
            for keyspace in segments[0].tables() {
                assert_eq!(keyspace.len().unwrap(), 100);
            }
            let first = time::from_pb("acquired_at", rows()[0].acquired_at.unwrap()).unwrap();
            assert_eq!((segments.len(), segments[0].begun_at), (1, first));
            drop((segments, tables));
            let database = database(folder.path()).unwrap();
            assert_eq!(database.keyspace_count(), 5, "nothing of the older release is left");
        }
    }

    #[test]
    fn a_row_that_was_decided_without_an_image_has_no_picture_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut row = written::row("north", 1, true);
        row.verdict.as_mut().unwrap().quality = None;
        written::embedded(folder.path(), std::slice::from_ref(&row));
        let tables = open(folder.path());
        let found = stored(&tables, &ScanId::parse(&row.scan_id).unwrap());
        assert_eq!(found, [Row { preview: None, ..row }]);
    }
}
