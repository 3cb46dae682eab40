//! What is in the embedded store, and how it is written.
//!
//! Four keyspaces of a segment are written in one atomic batch: rows by line and time, where a scan is, an egg's scans,
//! and pictures. A batch is durable when its commit returns. Scans and eggs have their site behind their id, so that
//! one look finds them with and without it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, OwnedWriteBatch, PersistMode, Readable as _, Snapshot, UserValue};
use jiff::Timestamp;
use ovomesh_api::{Row, ScanKey, ScanMeta};

use super::read_error::ReadError;
use super::segment::Segment;
use super::segments::{Listed, Segments};
use crate::keys;
use crate::once::{self, Outcome, Plan, Write};
use crate::record::Record;

/// Threads that sort in the background: one for what must be done before writes can continue, one for the rest.
const BACKGROUND: usize = 2;
/// Journals on disk: what must be read again after a crash. It takes less than a second.
const JOURNAL_BYTES: u64 = 128 << 20;

/// The tables of an open database.
pub(super) struct Tables {
    database: Database,
    pub segments: Segments,
}

/// Where a scan is stored.
struct Stored {
    segment: Arc<Segment>,
    key: UserValue,
    /// `None` when it cannot be read; then it may be overwritten.
    row: Option<Row>,
}

impl Tables {
    /// Opens them; those of an older release are brought up to date first.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, ReadError> {
        let database = database(folder)?;
        let segments = Segments::open(&database, now)?;
        Ok(Self { database, segments })
    }

    /// Stores all records that may be stored, or none. They are durable when it returns.
    pub fn append(&self, records: Vec<Record>) -> Result<Vec<Outcome>, ReadError> {
        let (before, segments) = self.segments.view();
        let mut found = HashMap::new();
        for record in &records {
            if let Some(stored) = find(&before, &segments, &record.key())? {
                found.insert(record.key(), stored);
            }
        }
        let rows =
            found.iter().filter_map(|(key, stored)| Some((key.clone(), stored.row.clone()?))).collect();
        let Plan { outcomes, writes } = once::plan(records, &rows);
        let Some(open) = segments.last().filter(|_| !writes.is_empty()) else { return Ok(outcomes) };
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for write in writes {
            put(open, &found, &mut batch, write);
        }
        batch.commit()?;
        Ok(outcomes)
    }
}

/// Opens the database as it is.
pub(super) fn database(folder: &Path) -> fjall::Result<Database> {
    Database::builder(folder)
        // Each batch is persisted explicitly.
        .manual_journal_persist(true)
        .worker_threads(BACKGROUND)
        .max_journaling_size(JOURNAL_BYTES)
        .open()
}

/// Looks in the newest segments first: most repeated scans are recent.
fn find(now: &Snapshot, segments: &Listed, scan: &ScanKey) -> Result<Option<Stored>, ReadError> {
    let scan_key = keys::scan(&scan.scan_id, &scan.site);
    for segment in segments.iter().rev() {
        if let Some(key) = now.get(&segment.scans, &scan_key)? {
            let row = now.get(&segment.rows, &key)?.and_then(|row| Row::decode(&row).ok());
            return Ok(Some(Stored { segment: segment.clone(), key, row }));
        }
    }
    Ok(None)
}

/// Writes a row to the open segment. A retry of a row that is stored goes where that one is.
fn put(open: &Segment, found: &HashMap<ScanKey, Stored>, batch: &mut OwnedWriteBatch, write: Write) {
    let Write { record, replaces } = write;
    let stored = found.get(&record.key());
    let Record { row, encoded, preview } = record;
    let ScanMeta { scan_id, place, acquired_at, .. } = &row.meta;
    let key = keys::line(&place.line_id, *acquired_at, scan_id);
    let scan_key = keys::scan(scan_id, place.site());
    let egg_key = egg_key_of(&row);
    let segment = match stored {
        Some(Stored { segment, row: Some(_), .. }) if !replaces => segment,
        _ => open,
    };
    if let Some(old) = stored {
        // A scan that was stored with other keys (decided anew after a break) leaves nothing behind.
        let moves = old.segment.number != segment.number;
        let old_egg_key = old.row.as_ref().and_then(egg_key_of);
        if let Some(old_egg_key) = old_egg_key.filter(|old| moves || Some(old) != egg_key.as_ref()) {
            batch.remove(&old.segment.eggs, old_egg_key);
        }
        if moves || *old.key != *key {
            batch.remove(&old.segment.rows, old.key.clone());
        }
        if moves {
            batch.remove(&old.segment.scans, scan_key.as_slice());
            batch.remove(&old.segment.pictures, scan_key.as_slice());
        }
    }
    if let Some(egg_key) = egg_key {
        batch.insert(&segment.eggs, egg_key, key.as_slice());
    }
    match preview {
        Some(preview) => batch.insert(&segment.pictures, scan_key.as_slice(), &*preview),
        None if replaces => batch.remove(&segment.pictures, scan_key.as_slice()),
        None => {}
    }
    batch.insert(&segment.scans, scan_key, key.as_slice());
    batch.insert(&segment.rows, key, &*encoded);
}

/// Where a row is among its egg's.
fn egg_key_of(row: &Row) -> Option<Vec<u8>> {
    let ScanMeta { scan_id, egg_id, place, acquired_at, .. } = &row.meta;
    Some(keys::egg(egg_id.as_ref()?, place.site(), *acquired_at, scan_id))
}
