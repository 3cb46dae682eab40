//! What is in the embedded store.
//!
//! Four keyspaces are written in one atomic batch: rows by line and time, where a scan is, an egg's scans, and pictures.
//! A batch is durable when its commit comes back. Scans and eggs have their site behind their id, so that one look finds
//! them with and without it.

use std::collections::HashMap;
use std::path::Path;

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _, Snapshot,
};
use ovomesh_api::pb::scan::v1::{Preview, Row};
use ovomesh_api::{EggId, Invalid, ScanId, Site, time};
use prost::Message as _;

use super::migration;
use crate::keys;
use crate::once::{self, Outcome, Plan, Write};
use crate::record::Record;
use crate::store::{LinePage, LineRange, SITES};

/// Threads that sort in the background: one for what must be done before writes can go on, one for the rest.
const BACKGROUND: usize = 2;
/// Unsorted rows of one keyspace in memory. With four keyspaces and one more of each on its way to disk 128 MiB.
const UNSORTED_BYTES: u64 = 16 << 20;
/// Journals on disk: what must be read again after a crash. It takes less than a second.
const JOURNAL_BYTES: u64 = 128 << 20;

/// The tables of an open database.
pub(super) struct Tables {
    pub database: Database,
    /// Line key to row.
    pub rows: Keyspace,
    /// Scan key to line key.
    pub scans: Keyspace,
    /// Egg key to line key.
    pub eggs: Keyspace,
    /// Scan key to picture.
    pub pictures: Keyspace,
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
    /// Opens them; those of an older release are brought up to date first.
    pub fn open(folder: &Path) -> Result<Self, ReadError> {
        let tables = Self::create(folder)?;
        migration::run(&tables)?;
        Ok(tables)
    }

    /// Opens them as they are.
    pub fn create(folder: &Path) -> fjall::Result<Self> {
        let database = Database::builder(folder)
            // Each batch is persisted by itself.
            .manual_journal_persist(true)
            .worker_threads(BACKGROUND)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let keyspace = |name| database.keyspace(name, options);
        let (rows, scans) = (keyspace("rows")?, keyspace("scans")?);
        let (eggs, pictures) = (keyspace("eggs")?, keyspace("pictures")?);
        Ok(Self { database, rows, scans, eggs, pictures })
    }

    /// Stores all records that may be stored, or none. They are durable when it comes back.
    pub fn append(&self, records: Vec<Record>) -> Result<Vec<Outcome>, ReadError> {
        let before = self.database.snapshot();
        let mut stored = HashMap::new();
        for record in &records {
            let scan_key = keys::scan(&record.scan_id, &record.place.site);
            // One that cannot be read stands for nothing.
            if let Some(key) = before.get(&self.scans, scan_key)?
                && let Some(row) = before.get(&self.rows, key)?.and_then(|row| Row::decode(&*row).ok())
            {
                stored.insert(record.key(), row);
            }
        }
        let Plan { outcomes, writes } = once::plan(records, &stored);
        if writes.is_empty() {
            return Ok(outcomes);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for write in writes {
            self.put(&before, &mut batch, write)?;
        }
        batch.commit()?;
        Ok(outcomes)
    }

    fn put(&self, before: &Snapshot, batch: &mut OwnedWriteBatch, write: Write) -> Result<(), ReadError> {
        let Write { record, replaces } = write;
        let Record { scan_id, egg_id, place, acquired_at, row, preview, .. } = record;
        let site = &place.site;
        let key = keys::line(site, &place.line, acquired_at, &scan_id);
        let scan_key = keys::scan(&scan_id, site);
        let egg_key = egg_id.map(|egg_id| keys::egg(&egg_id, site, acquired_at, &scan_id));
        if let Some(old) = before.get(&self.scans, &scan_key)? {
            // A scan that was stored with other keys (decided anew after a break) leaves nothing behind.
            let old_egg_key = before.get(&self.rows, &old)?.and_then(|row| egg_key_of(&row, site, &scan_id));
            if let Some(old_egg_key) = old_egg_key.filter(|old| Some(old) != egg_key.as_ref()) {
                batch.remove(&self.eggs, old_egg_key);
            }
            if *old != *key {
                batch.remove(&self.rows, old);
            }
        }
        if let Some(egg_key) = egg_key {
            batch.insert(&self.eggs, egg_key, key.as_slice());
        }
        match preview {
            Some(preview) => batch.insert(&self.pictures, scan_key.as_slice(), &*preview),
            None if replaces => batch.remove(&self.pictures, scan_key.as_slice()),
            None => {}
        }
        batch.insert(&self.scans, scan_key, key.as_slice());
        batch.insert(&self.rows, key, &*row);
        Ok(())
    }

    /// The scan of this id of one site, or those of all sites: at most [`SITES`].
    pub fn get_scan(&self, scan_id: &ScanId, site: Option<&Site>) -> Result<Vec<(Site, Row)>, ReadError> {
        let now = self.database.snapshot();
        let prefix = keys::scans(scan_id);
        let from = site.map_or_else(|| prefix.clone(), |site| keys::scan(scan_id, site));
        let mut found = Vec::new();
        for entry in now.range(&self.scans, from..) {
            let (scan_key, key) = entry.into_inner()?;
            let at = keys::site_after(&prefix, &scan_key);
            let Some(at) = at.filter(|at| site.is_none_or(|site| site == at)) else { break };
            let Some(row) = now.get(&self.rows, &key)? else { continue };
            let mut row: Row = decode(&row, scan_id)?;
            if let Some(preview) = now.get(&self.pictures, &scan_key)? {
                row.preview = Some(decode::<Preview>(&preview, scan_id)?);
            }
            found.push((at, row));
            if found.len() == SITES {
                break;
            }
        }
        Ok(found)
    }

    /// The rows of an egg of one site, or of those of this name of all sites: at most [`SITES`].
    pub fn list_egg(
        &self,
        egg_id: &EggId,
        site: Option<&Site>,
        limit: usize,
    ) -> Result<Vec<(Site, Vec<Row>)>, ReadError> {
        let now = self.database.snapshot();
        let prefix = keys::eggs(egg_id);
        let (mut found, mut from) = (Vec::new(), prefix.clone());
        loop {
            let at = match site {
                Some(site) => Some(site.clone()),
                None => match now.range(&self.eggs, from..).next() {
                    Some(entry) => keys::site_after(&prefix, &entry.key()?),
                    None => None,
                },
            };
            let Some(at) = at else { break };
            let egg = keys::egg_of_site(egg_id, &at);
            let mut rows = Vec::new();
            for entry in now.prefix(&self.eggs, &egg).take(limit) {
                if let Some(row) = now.get(&self.rows, entry.value()?)? {
                    rows.push(decode(&row, egg_id)?);
                }
            }
            found.push((at, rows));
            if site.is_some() || found.len() == SITES {
                break;
            }
            // Behind all that the site has of it: its name ends with a zero.
            from = egg;
            if let Some(last) = from.last_mut() {
                *last = 1;
            }
        }
        Ok(found)
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

/// How a keyspace is made.
pub(super) fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(UNSORTED_BYTES)
}

/// Where a stored row is among its egg's. None for a row that cannot be read: it may be overwritten all the same.
pub(super) fn egg_key_of(row: &[u8], site: &Site, scan_id: &ScanId) -> Option<Vec<u8>> {
    let row = Row::decode(row).ok()?;
    let acquired_at = time::from_pb("acquired_at", row.acquired_at?).ok()?;
    Some(keys::egg(&EggId::parse(&row.egg_id).ok()?, site, acquired_at, scan_id))
}

pub(super) fn decode<T: prost::Message + Default>(
    bytes: &[u8],
    whose: &dyn std::fmt::Display,
) -> Result<T, ReadError> {
    T::decode(bytes).map_err(|error| ReadError::Damaged(format!("{whose} cannot be decoded: {error}")))
}
