//! The engine's life: opened once, and opened again after its disk failed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::journal;
use super::read_error::ReadError;
use super::retention::Keep;
use super::tables::Tables;
use super::tend::{Facts, Tender};
use crate::StoreError;
use crate::once::Outcome;
use crate::record::Record;
use jiff::Timestamp;
use parking_lot::RwLock;

/// Held for as long as the store is open: nobody else may touch the folder, least of all repair its journal.
const LOCK: &str = "ovomesh.lock";
/// Written to see whether the disk takes something again.
const PROBE: &str = "ovomesh.probe";
/// As large as most batches.
const PROBE_BYTES: usize = 1 << 20;

pub(super) struct Engine {
    folder: PathBuf,
    _lock: File,
    /// `None` while it cannot be opened again.
    tables: RwLock<Option<Tables>>,
    /// A write failed. The engine takes no more writes then, because nobody knows what the disk has of the last one;
    /// it still reads.
    broken: AtomicBool,
    pub keep: Keep,
    pub facts: Facts,
}

impl Engine {
    /// Opens `folder`, which is made when it is not there.
    pub fn open(folder: &Path, keep: &Keep) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| unavailable(folder, &error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK))
            .map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Taken { store: folder.display().to_string() },
            TryLockError::Error(error) => failed(error),
        })?;
        let engine = Self {
            folder: folder.to_owned(),
            _lock: lock,
            tables: RwLock::new(None),
            broken: AtomicBool::new(true),
            keep: keep.clone(),
            facts: Facts::default(),
        };
        engine.reopen()?;
        Ok(engine)
    }

    /// An error of this folder.
    pub fn failed(&self, reason: impl std::fmt::Display) -> StoreError {
        unavailable(&self.folder, &reason)
    }

    /// Reads from the tables.
    pub fn read<T>(&self, read: impl FnOnce(&Tables) -> Result<T, ReadError>) -> Result<T, StoreError> {
        let tables = self.tables.read();
        let tables = tables.as_ref().ok_or_else(|| self.failed("it could not be opened again yet"))?;
        read(tables).map_err(|error| self.store_error(error))
    }

    /// Stores all records that may be stored, or none.
    pub fn write(&self, records: Vec<Record>) -> Result<Vec<Outcome>, StoreError> {
        self.change(|tables| tables.append(records))
    }

    /// Looks after the folder.
    pub fn tend(&self, tender: &mut Tender) {
        if !tender.is_due() {
            return;
        }
        if let Err(error) = self.change(|tables| tender.tend(tables, &self.facts)) {
            tracing::error!(%error, "the store could not apply its limits");
        }
    }

    /// The task that maintains the folder.
    pub fn tender(&self) -> Tender {
        Tender::new(&self.folder, self.keep.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&Tables) -> Result<T, ReadError>) -> Result<T, StoreError> {
        if self.broken.load(Ordering::Relaxed) {
            self.probe().map_err(|error| self.failed(error))?;
            self.reopen()?;
            tracing::info!(folder = %self.folder.display(), "the store works again");
        }
        let result = self.read(change);
        if result.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Whether the disk takes anything: while it does not, open tables continue to answer reads.
    fn probe(&self) -> std::io::Result<()> {
        let path = self.folder.join(PROBE);
        let mut file = File::create(&path)?;
        let written = file.write_all(&[0x5a; PROBE_BYTES]).and_then(|()| file.sync_all());
        std::fs::remove_file(&path)?;
        written
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut tables = self.tables.write();
        // The engine's own lock must be free first.
        *tables = None;
        journal::check(&self.folder).map_err(|error| match error {
            journal::Error::Io(error) => self.failed(error),
            journal::Error::Damaged(reason) => self.damaged(reason),
        })?;
        *tables =
            Some(Tables::open(&self.folder, Timestamp::now()).map_err(|error| self.store_error(error))?);
        self.broken.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { store: self.folder.display().to_string(), reason }
    }

    fn store_error(&self, error: ReadError) -> StoreError {
        match error {
            ReadError::Invalid(error) => StoreError::Invalid(error),
            ReadError::Damaged(reason) => self.damaged(reason),
            ReadError::Engine(fjall::Error::Poisoned) => {
                self.failed("an earlier write failed in the background")
            }
            // Mostly the disk: what the system said is what helps.
            ReadError::Engine(error) => match system(&error) {
                Some(cause) => self.failed(cause),
                None => self.failed(error),
            },
        }
    }
}

/// The error of the operating system behind one of the engine.
fn system(error: &fjall::Error) -> Option<&std::io::Error> {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref())
}

fn unavailable(folder: &Path, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { store: folder.display().to_string(), reason: reason.to_string() }
}
