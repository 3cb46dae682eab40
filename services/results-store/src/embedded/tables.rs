//! What is in the embedded store.
//!
//! Four keyspaces are written in one atomic batch: rows by line and time, where a scan is, an egg's scans, and pictures.
//! A batch is durable when its commit comes back.

use std::path::Path;

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _, Snapshot,
};
use ovomesh_api::pb::scan::v1::{Preview, Row};
use ovomesh_api::{EggId, Invalid, ScanId, time};
use prost::Message as _;

use crate::keys;
use crate::record::{Record, last_of_each_scan};
use crate::store::{LinePage, LineRange};

/// Threads that sort in the background: one for what must be done before writes can go on, one for the rest.
const BACKGROUND: usize = 2;
/// Unsorted rows of one keyspace in memory. With four keyspaces and one more of each on its way to disk 128 MiB.
const UNSORTED_BYTES: u64 = 16 << 20;
/// Journals on disk: what must be read again after a crash. It takes less than a second.
const JOURNAL_BYTES: u64 = 128 << 20;

/// The tables of an open database.
pub(super) struct Tables {
    pub(super) database: Database,
    /// Line key to row.
    pub(super) rows: Keyspace,
    /// Scan id to line key.
    by_scan: Keyspace,
    /// Egg key to line key.
    by_egg: Keyspace,
    /// Scan id to picture.
    previews: Keyspace,
}

/// Why something could not be read or written.
pub(super) enum ReadError {
    /// The question is wrong.
    Invalid(Invalid),
    /// The engine or its disk failed.
    Engine(fjall::Error),
    /// A record cannot be decoded.
    Damaged(String),
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

impl Tables {
    pub fn open(folder: &Path) -> fjall::Result<Self> {
        let database = Database::builder(folder)
            // Each batch is persisted by itself.
            .manual_journal_persist(true)
            .worker_threads(BACKGROUND)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(UNSORTED_BYTES);
        let keyspace = |name| database.keyspace(name, options);
        let (rows, by_scan) = (keyspace("rows")?, keyspace("by_scan")?);
        let (by_egg, previews) = (keyspace("by_egg")?, keyspace("previews")?);
        Ok(Self { database, rows, by_scan, by_egg, previews })
    }

    /// Stores all records or none. They are durable when it comes back.
    pub fn append(&self, records: Vec<Record>) -> Result<(), ReadError> {
        let snapshot = self.database.snapshot();
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for record in last_of_each_scan(records) {
            self.put(&snapshot, &mut batch, record)?;
        }
        Ok(batch.commit()?)
    }

    fn put(&self, before: &Snapshot, batch: &mut OwnedWriteBatch, record: Record) -> Result<(), ReadError> {
        let Record { scan_id, egg_id, place, acquired_at, row, preview, .. } = record;
        let key = keys::line(&place.site, &place.line, acquired_at, &scan_id);
        let egg_key = egg_id.map(|egg_id| keys::egg(&egg_id, acquired_at, &scan_id));
        if let Some(old) = before.get(&self.by_scan, scan_id.as_str())? {
            // A scan that was stored with other keys (decided anew after a break) leaves nothing behind.
            let old_egg_key = before.get(&self.rows, &old)?.and_then(|row| egg_key_of(&row, &scan_id));
            if let Some(old_egg_key) = old_egg_key.filter(|old| Some(old) != egg_key.as_ref()) {
                batch.remove(&self.by_egg, old_egg_key);
            }
            if *old != *key {
                batch.remove(&self.rows, old);
            }
        }
        if let Some(egg_key) = egg_key {
            batch.insert(&self.by_egg, egg_key, key.as_slice());
        }
        if let Some(preview) = preview {
            batch.insert(&self.previews, scan_id.as_str(), &*preview);
        }
        batch.insert(&self.by_scan, scan_id.as_str(), key.as_slice());
        batch.insert(&self.rows, key, &*row);
        Ok(())
    }

    pub fn get_scan(&self, scan_id: &ScanId) -> Result<Option<Row>, ReadError> {
        let now = self.database.snapshot();
        let Some(key) = now.get(&self.by_scan, scan_id.as_str())? else { return Ok(None) };
        let Some(row) = now.get(&self.rows, &key)? else { return Ok(None) };
        let mut row: Row = decode(&row, scan_id)?;
        if let Some(preview) = now.get(&self.previews, scan_id.as_str())? {
            row.preview = Some(decode::<Preview>(&preview, scan_id)?);
        }
        Ok(Some(row))
    }

    pub fn list_egg(&self, egg_id: &EggId, limit: usize) -> Result<Vec<Row>, ReadError> {
        let now = self.database.snapshot();
        let mut rows = Vec::new();
        for entry in now.prefix(&self.by_egg, keys::egg_prefix(egg_id)).take(limit) {
            if let Some(row) = now.get(&self.rows, entry.value()?)? {
                rows.push(decode(&row, egg_id)?);
            }
        }
        Ok(rows)
    }

    pub fn list_line(&self, range: &LineRange) -> Result<LinePage, ReadError> {
        let LineRange { site, line, limit, token, .. } = range;
        let from = keys::line_from(site, line, range.from);
        let to = keys::line_from(site, line, range.to);
        // A token is the last key of the page before.
        let after = match token.is_empty() {
            true => Vec::new(),
            false if token.starts_with(&keys::line_prefix(site, line)) => [token, &[0][..]].concat(),
            false => {
                let limit = format!("the next token of a page of site {site}, line {line}");
                return Err(ReadError::Invalid(Invalid::field("token", "another line's", limit)));
            }
        };
        let from = from.max(after);
        let mut page = LinePage::default();
        if from >= to {
            return Ok(page);
        }
        for entry in self.rows.range(from..to) {
            let (key, value) = entry.into_inner()?;
            if page.rows.len() == *limit {
                return Ok(page);
            }
            page.rows.push(decode(&value, &format_args!("a row of site {site}, line {line}"))?);
            page.next = if page.rows.len() == *limit { key.to_vec() } else { Vec::new() };
        }
        // Nothing follows.
        page.next.clear();
        Ok(page)
    }
}

/// Where a stored row is among its egg's. None for a row that cannot be read: it may be overwritten all the same.
fn egg_key_of(row: &[u8], scan_id: &ScanId) -> Option<Vec<u8>> {
    let row = Row::decode(row).ok()?;
    let acquired_at = time::from_pb("acquired_at", row.acquired_at?).ok()?;
    Some(keys::egg(&EggId::parse(&row.egg_id).ok()?, acquired_at, scan_id))
}

fn decode<T: prost::Message + Default>(bytes: &[u8], whose: &dyn std::fmt::Display) -> Result<T, ReadError> {
    T::decode(bytes).map_err(|error| ReadError::Damaged(format!("{whose} cannot be decoded: {error}")))
}
