//! The store of one machine: an LSM tree in a folder (fjall).
//!
//! Four keyspaces are written in one atomic batch: rows by line and time, and where a scan is, an egg's scans, and
//! previews. A batch is acknowledged after its fsync.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use ovomesh_api::pb::scan::v1::{Preview, Row};
use ovomesh_api::{EggId, ScanId, time};
use prost::Message as _;

use crate::StoreError;
use crate::keys;
use crate::record::Record;
use crate::store::{LinePage, LineRange, Store};

/// The embedded store. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    /// `None` after a write failed: the engine takes no more writes then, and is opened anew at the next one.
    tables: RwLock<Option<Tables>>,
}

struct Tables {
    database: Database,
    /// Line key to row.
    rows: Keyspace,
    /// Scan id to line key.
    by_scan: Keyspace,
    /// Egg key to line key.
    by_egg: Keyspace,
    /// Scan id to preview.
    previews: Keyspace,
}

impl Embedded {
    /// Opens the store in `folder`, which is made when it is not there.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let inner = Inner { folder: folder.to_owned(), tables: RwLock::new(None) };
        let tables = inner.open()?;
        *inner.tables.write().unwrap_or_else(PoisonError::into_inner) = Some(tables);
        Ok(Self(Arc::new(inner)))
    }

    /// Runs blocking work on a thread where that is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.0.clone();
        let failed = self.0.failed("a thread of the store panicked");
        tokio::task::spawn_blocking(move || work(&inner)).await.unwrap_or(Err(failed))
    }
}

impl Store for Embedded {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.append(records)).await
    }

    async fn get_scan(&self, scan_id: ScanId) -> Result<Option<Row>, StoreError> {
        self.blocking(move |inner| inner.get_scan(&scan_id)).await
    }

    async fn list_egg(&self, egg_id: EggId, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.blocking(move |inner| inner.list_egg(&egg_id, limit)).await
    }

    async fn list_line(&self, range: LineRange) -> Result<LinePage, StoreError> {
        self.blocking(move |inner| inner.list_line(&range)).await
    }
}

impl Inner {
    fn open(&self) -> Result<Tables, StoreError> {
        let open = || -> fjall::Result<Tables> {
            // Persisted by each batch itself, with an fsync.
            let database =
                Database::builder(&self.folder).manual_journal_persist(true).worker_threads(1).open()?;
            let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
            let (rows, by_scan) = (keyspace("rows")?, keyspace("by_scan")?);
            let (by_egg, previews) = (keyspace("by_egg")?, keyspace("previews")?);
            Ok(Tables { database, rows, by_scan, by_egg, previews })
        };
        open().map_err(|error| match error {
            fjall::Error::Locked => self.failed("another process has it open"),
            other => self.failed(other),
        })
    }

    fn failed(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Unavailable { place: self.folder.display().to_string(), reason: reason.to_string() }
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { place: self.folder.display().to_string(), reason: reason.to_string() }
    }

    fn reading(&self) -> RwLockReadGuard<'_, Option<Tables>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the tables; an error of the engine is one of the disk.
    fn read<T>(&self, read: impl FnOnce(&Tables) -> Result<T, ReadError>) -> Result<T, StoreError> {
        let guard = self.reading();
        let tables = guard.as_ref().ok_or_else(|| self.failed("a write failed; it is being opened anew"))?;
        read(tables).map_err(|error| match error {
            ReadError::Engine(error) => self.failed(error),
            ReadError::Damaged(reason) => self.damaged(reason),
        })
    }

    fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.reopen()?;
        // The last one of a scan stands, also within one batch.
        let last: HashMap<ScanId, Record> =
            records.into_iter().map(|record| (record.scan_id.clone(), record)).collect();
        let result = self.read(|tables| tables.append(last.into_values()));
        if matches!(result, Err(StoreError::Unavailable { .. })) {
            *self.tables.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    /// Opens the engine again after a failed write.
    fn reopen(&self) -> Result<(), StoreError> {
        if self.reading().is_some() {
            return Ok(());
        }
        let tables = self.open()?;
        tracing::info!(folder = %self.folder.display(), "the store works again");
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = Some(tables);
        Ok(())
    }

    fn get_scan(&self, scan_id: &ScanId) -> Result<Option<Row>, StoreError> {
        self.read(|tables| {
            let Some(mut row) = tables.find(scan_id)? else { return Ok(None) };
            if let Some(preview) = tables.previews.get(scan_id.as_str())? {
                row.preview = Some(decode::<Preview>(&preview, scan_id)?);
            }
            Ok(Some(row))
        })
    }

    fn list_egg(&self, egg_id: &EggId, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.read(|tables| {
            let found = tables.by_egg.prefix(keys::egg_prefix(egg_id)).take(limit);
            let rows = found.map(|entry| tables.row(&entry.value()?, egg_id));
            rows.filter_map(Result::transpose).collect()
        })
    }

    fn list_line(&self, range: &LineRange) -> Result<LinePage, StoreError> {
        let from = keys::line_from(&range.site, &range.line, range.from);
        let to = keys::line_from(&range.site, &range.line, range.to);
        // A token is the last key of the page before: whatever it holds, it can only narrow the range.
        let mut after = range.token.clone();
        if !after.is_empty() {
            after.push(0);
        }
        let from = from.max(after);
        if from >= to {
            return Ok(LinePage::default());
        }
        self.read(|tables| {
            let mut page = LinePage::default();
            for entry in tables.rows.range(from..to) {
                let (key, value) = entry.into_inner()?;
                page.rows.push(decode(&value, &"a row of this line")?);
                if page.rows.len() == range.limit {
                    page.next = key.to_vec();
                    break;
                }
            }
            Ok(page)
        })
    }
}

impl Tables {
    fn append(&self, records: impl Iterator<Item = Record>) -> Result<(), ReadError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for Record { scan_id, egg_id, place, acquired_at, row, preview } in records {
            let key = keys::line(&place.site, &place.line, acquired_at, &scan_id);
            // A scan that was stored elsewhere (decided anew after a break) leaves nothing behind.
            if let Some(old) = self.by_scan.get(scan_id.as_str())?.filter(|old| **old != *key) {
                if let Some(old_row) = self.row(&old, &scan_id)? {
                    self.forget_egg(&mut batch, &old_row, &scan_id);
                }
                batch.remove(&self.rows, old);
            }
            if let Some(egg_id) = &egg_id {
                batch.insert(&self.by_egg, keys::egg(egg_id, acquired_at, &scan_id), key.clone());
            }
            if let Some(preview) = preview {
                batch.insert(&self.previews, scan_id.as_str(), preview.encode_to_vec());
            }
            batch.insert(&self.by_scan, scan_id.as_str(), key.clone());
            batch.insert(&self.rows, key, row.encode_to_vec());
        }
        Ok(batch.commit()?)
    }

    fn forget_egg(&self, batch: &mut fjall::OwnedWriteBatch, row: &Row, scan_id: &ScanId) {
        let acquired_at = row.acquired_at.and_then(|at| time::from_pb("acquired_at", at).ok());
        if let (Ok(egg_id), Some(at)) = (EggId::parse(&row.egg_id), acquired_at) {
            batch.remove(&self.by_egg, keys::egg(&egg_id, at, scan_id));
        }
    }

    fn find(&self, scan_id: &ScanId) -> Result<Option<Row>, ReadError> {
        match self.by_scan.get(scan_id.as_str())? {
            Some(key) => self.row(&key, scan_id),
            None => Ok(None),
        }
    }

    fn row(&self, key: &[u8], whose: &dyn std::fmt::Display) -> Result<Option<Row>, ReadError> {
        self.rows.get(key)?.map(|value| decode(&value, whose)).transpose()
    }
}

enum ReadError {
    Engine(fjall::Error),
    Damaged(String),
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

fn decode<T: prost::Message + Default>(bytes: &[u8], whose: &dyn std::fmt::Display) -> Result<T, ReadError> {
    T::decode(bytes).map_err(|error| ReadError::Damaged(format!("{whose}: {error}")))
}
