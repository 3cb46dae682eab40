//! Keeps the folder within its limits: looks from time to time how much disk it uses, and removes the oldest rows.

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::read_error::ReadError;
use super::retention::{Clock, Keep, Reason, State, Step};
use super::tables::Tables;

/// Looks after a folder.
pub(super) struct Tender {
    folder: PathBuf,
    keep: Keep,
    clock: Clock,
    looked: Option<Instant>,
    /// Once is enough: later the log says what is removed.
    warned: bool,
    /// Folders of removed tables, which go when nobody reads them any more.
    leaving: Vec<PathBuf>,
}

/// What was found, for status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    used: u64,
    kept_since: Timestamp,
}

/// What is known of a folder.
#[derive(Default)]
pub(super) struct Facts {
    found: Mutex<Option<Found>>,
}

impl Tender {
    pub fn new(folder: &Path, keep: Keep) -> Self {
        let clock = Clock::new(Instant::now(), Timestamp::now());
        Self { folder: folder.to_owned(), keep, clock, looked: None, warned: false, leaving: Vec::new() }
    }

    /// Whether it is time to look.
    pub fn is_due(&self) -> bool {
        self.looked.is_none_or(|at| at.elapsed() >= self.keep.check)
    }

    /// Looks, and does what is to be done.
    pub fn tend(&mut self, tables: &Tables, facts: &Facts) -> Result<(), ReadError> {
        self.looked = Some(Instant::now());
        let now = Timestamp::now();
        let is_steady = self.clock.is_steady(&self.keep, Instant::now(), now);
        loop {
            let state = self.look(tables, facts, now, is_steady)?;
            match self.keep.step(&state) {
                Some(Step::Begin) => tables.segments.begin(now)?,
                // What was removed last still uses its disk: nothing more must go for that.
                Some(Step::Remove(Reason::Size)) if !self.leaving.is_empty() => break,
                Some(Step::Remove(reason)) => self.remove(tables, reason, &state)?,
                None => break,
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        tables: &Tables,
        facts: &Facts,
        now: Timestamp,
        is_steady: bool,
    ) -> Result<State, ReadError> {
        self.leaving.retain(|folder| folder.exists());
        let listed = tables.segments.listed();
        let begun: Vec<_> = listed.iter().map(|segment| segment.begun_at).collect();
        let open = listed.last().filter(|open| open.rows.first_key_value().is_some());
        let used = used(&self.folder);
        if let Some(kept_since) = begun.first().copied() {
            metrics::gauge!("ovomesh_store_disk_used_bytes").set(used as f64);
            metrics::gauge!("ovomesh_store_kept_since_seconds").set(kept_since.as_second() as f64);
            *facts.found.lock() = Some(Found { used, kept_since });
        }
        self.warn(used);
        Ok(State { begun, open_bytes: open.map(|open| open.disk_bytes()), used, now, is_steady })
    }

    fn remove(&mut self, tables: &Tables, reason: Reason, state: &State) -> Result<(), ReadError> {
        let Some(removed) = tables.segments.remove_oldest()? else { return Ok(()) };
        metrics::counter!("ovomesh_store_rows_removed_total", "reason" => reason.name())
            .increment(removed.rows);
        tracing::info!(
            rows = removed.rows,
            stored_since = %state.begun[0],
            stored_until = %state.begun[1],
            reason = reason.name(),
            "removed the oldest rows"
        );
        self.leaving.extend(removed.folders);
        Ok(())
    }

    fn warn(&mut self, used: u64) {
        let Some(limit) = self.keep.bytes.filter(|_| self.keep.is_nearly_full(used)) else { return };
        if std::mem::replace(&mut self.warned, true) {
            return;
        }
        tracing::warn!(
            used = gib(used),
            limit = gib(limit),
            folder = %self.folder.display(),
            "the store is near its limit of disk; the oldest rows are removed to keep it"
        );
    }
}

impl Facts {
    /// For status.
    pub fn details(&self, keep: &Keep) -> Vec<(&'static str, String)> {
        let Some(Found { used, kept_since }) = *self.found.lock() else { return Vec::new() };
        let used = match keep.bytes {
            Some(limit) => format!("{} of {}", gib(used), gib(limit)),
            None => gib(used),
        };
        vec![("disk used", used), ("rows kept since", format!("{kept_since:.0}"))]
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// Bytes of disk that a folder uses. Files that appear or disappear meanwhile may count or not.
fn used(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => used(&entry.path()),
        // A journal is made longer ahead of its use.
        Ok(about) => 512 * about.blocks(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(one).sum()
}
