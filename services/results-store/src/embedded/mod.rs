//! The store of one machine: an LSM tree in a folder (fjall).
//!
//! [`tables`] writes what is in it and [`reading`] reads it, both in [`segments`], portions that are removed as a whole;
//! [`retention`] decides when, [`tend`] does it. [`engine`] opens it, and opens it again after its disk failed;
//! [`journal`] checks whether what a crash left can be read; [`migration`] rewrites the keys of older releases. One
//! thread writes; reads run beside it, a few at a time.

mod engine;
mod journal;
mod merged;
mod migration;
mod read_error;
mod reading;
mod retention;
mod segment;
mod segments;
mod tables;
mod tend;
mod writer;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ovomesh_api::{ScanId, Site};
use tokio::sync::Semaphore;

use crate::StoreError;
use crate::once::Outcome;
use crate::record::Record;
use crate::store::{EggRange, LineRange, Page, Store, StoredLines, only};
use engine::Engine;
pub use retention::Keep;
use writer::Writer;

/// Reads at once: more would only wait for the same disk, and each holds a page in memory.
const READS: usize = 8;

pub struct Embedded {
    engine: Arc<Engine>,
    writer: Writer,
    reads: Semaphore,
}

impl Embedded {
    /// Opens the store in `folder`, which is made when it is not there, and keeps what is kept by default. Blocks: reads
    /// what was not yet sorted in.
    ///
    /// # Errors
    /// When another process has it open, the disk fails, or what is there cannot be read.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::keeping(folder, &Keep::default())
    }

    /// The same, keeping these rows.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn keeping(folder: &Path, keep: &Keep) -> Result<Self, StoreError> {
        let engine = Arc::new(Engine::open(folder, keep)?);
        let writer = Writer::start(engine.clone())
            .map_err(|error| engine.failed(format!("no thread can be started: {error}")))?;
        Ok(Self { engine, writer, reads: Semaphore::new(READS) })
    }

    /// Reads on a thread where that is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed.
        let _turn = self.reads.acquire().await;
        let engine = self.engine.clone();
        let panicked = || Err(self.engine.failed("a read panicked; this is a defect, please report it"));
        tokio::task::spawn_blocking(move || read(&engine)).await.unwrap_or_else(|_| panicked())
    }
}

impl Store for Embedded {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Outcome>, StoreError> {
        self.writer.write(records).await.unwrap_or_else(|| {
            Err(self.engine.failed("its writer panicked; this is a defect, please report it"))
        })
    }

    async fn get_scan(&self, scan_id: ScanId, site: Option<Site>) -> Result<Option<Bytes>, StoreError> {
        let found = self
            .read({
                let scan_id = scan_id.clone();
                move |engine| engine.read(|tables| tables.get_scan(&scan_id, site.as_ref()))
            })
            .await?;
        only(format_args!("scan {scan_id}"), found)
    }

    async fn list_egg(&self, range: EggRange) -> Result<Page, StoreError> {
        let egg_id = range.egg_id.clone();
        let found = self.read(move |engine| engine.read(|tables| tables.list_egg(&range))).await?;
        Ok(only(format_args!("egg {egg_id}"), found)?.unwrap_or_default())
    }

    async fn list_line(&self, range: LineRange) -> Result<Page, StoreError> {
        self.read(move |engine| engine.read(|tables| tables.list_line(&range))).await
    }

    async fn list_lines(&self, site: Option<Site>, limit: usize) -> Result<StoredLines, StoreError> {
        self.read(move |engine| engine.read(|tables| tables.list_lines(site.as_ref(), limit))).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.engine.facts.details(&self.engine.keep)
    }
}
