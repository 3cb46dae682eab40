//! One scan on its way: who waits for what, and how far it is.

use std::sync::Arc;

use ovomesh_api::pb::scan::v1::Preview;
use ovomesh_api::{Image, RecordedRow, Row, ScanKey, ScanMeta, Verdict};
use ovomesh_spool::{Entry, Released};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// A verdict, and the picture if there is one.
pub type Decided = (Verdict, Option<Preview>);
/// Stored, or why it never can be.
pub type Stored = Result<(), String>;

/// How far a scan is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Being written to disk.
    Coming,
    /// It could not be kept, for this reason.
    Refused(String),
    /// On disk.
    Accepted,
    /// Its verdict is on disk, and may be told.
    Released(Arc<RecordedRow>),
    /// Its verdict is stored.
    Stored(Arc<RecordedRow>),
}

/// A scan on its way.
#[derive(Debug)]
pub struct InFlightScan {
    /// The scan.
    pub key: ScanKey,
    /// The key of its records in the spool. An agent before this one may have written them under another key than this one
    /// would choose, and all records of a scan must have the same.
    pub record: String,
    /// What came of its image.
    pub image: Image,
    /// Size of its samples as sent.
    pub bytes: u64,
    /// When the agent decides by itself.
    pub deadline: Instant,
    progress: watch::Sender<Progress>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    on_disk: OnDisk,
    /// For a verdict.
    decision: Option<oneshot::Sender<Decided>>,
    /// For the store.
    store: Option<oneshot::Sender<Stored>>,
}

/// What of a scan is on disk: from there it can continue.
#[derive(Debug, Clone, Default)]
pub enum OnDisk {
    /// Nothing yet.
    #[default]
    Nothing,
    /// The scan.
    Scan(Entry),
    /// Its verdict, recorded at this time.
    Verdict(Released, Instant),
}

impl InFlightScan {
    /// A scan that has arrived, with this many bytes of samples.
    pub fn new(meta: &ScanMeta, bytes: u64, deadline: Instant) -> Self {
        let key = meta.key();
        let record = key.record(rand::random());
        Self::with(key, record, meta.image, bytes, deadline)
    }

    /// A scan whose record was found after a restart.
    pub fn of_entry(entry: &Entry, meta: &ScanMeta, bytes: u64, deadline: Instant) -> Self {
        Self::with(meta.key(), entry.id.clone(), meta.image, bytes, deadline)
    }

    /// A scan whose recorded verdict was found after a restart.
    pub fn of_row(entry: &Entry, row: &Row) -> Self {
        Self::with(row.key(), entry.id.clone(), row.meta.image, 0, Instant::now())
    }

    fn with(key: ScanKey, record: String, image: Image, bytes: u64, deadline: Instant) -> Self {
        let progress = watch::Sender::new(Progress::Coming);
        Self { key, record, image, bytes, deadline, progress, waiting: Mutex::default() }
    }

    /// Its progress from now on.
    pub fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// It is as far as this.
    pub fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Notes what is on disk from now on.
    pub fn is_on_disk(&self, on_disk: OnDisk) {
        self.waiting.lock().on_disk = on_disk;
    }

    /// What is on disk.
    pub fn on_disk(&self) -> OnDisk {
        self.waiting.lock().on_disk.clone()
    }

    /// The first verdict that comes from now on.
    pub fn waits_for_decision(&self) -> oneshot::Receiver<Decided> {
        let (decide, decided) = oneshot::channel();
        self.waiting.lock().decision = Some(decide);
        decided
    }

    /// Gives it a verdict; false when it has one.
    pub fn decide(&self, decided: Decided) -> bool {
        self.waiting.lock().decision.take().is_some_and(|waiting| waiting.send(decided).is_ok())
    }

    /// It needs no verdict any more.
    pub fn is_decided(&self) {
        self.waiting.lock().decision = None;
    }

    /// Where it lies on disk, while it needs a verdict.
    pub fn undecided(&self) -> Option<Entry> {
        let waiting = self.waiting.lock();
        match &waiting.on_disk {
            OnDisk::Scan(entry) if waiting.decision.is_some() => Some(entry.clone()),
            _ => None,
        }
    }

    /// The store's answer.
    pub fn waits_for_store(&self) -> oneshot::Receiver<Stored> {
        let (store, stored) = oneshot::channel();
        self.waiting.lock().store = Some(store);
        stored
    }

    /// The store has answered; a second answer changes nothing.
    pub fn store(&self, stored: Stored) {
        if let Some(waiting) = self.waiting.lock().store.take() {
            // Whoever waits ends only with the agent.
            let _ = waiting.send(stored);
        }
    }

    /// Its row, once that is recorded.
    pub fn recorded(&self) -> Option<Arc<RecordedRow>> {
        match &*self.progress.borrow() {
            Progress::Released(row) | Progress::Stored(row) => Some(row.clone()),
            _ => None,
        }
    }

    /// Its row, while that waits for the store.
    pub fn released(&self) -> Option<Arc<RecordedRow>> {
        match &*self.progress.borrow() {
            Progress::Released(row) => Some(row.clone()),
            _ => None,
        }
    }
}
