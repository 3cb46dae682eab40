//! What scanners and sorters were told, to be held against what is stored.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{DecidedBy, Verdict};
use parking_lot::Mutex;

/// Everything that was heard in one run.
#[derive(Debug, Default)]
pub struct Book(Mutex<HashMap<String, Scan>>);

/// What was heard of one scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Number of its line.
    pub line: usize,
    /// When it was first sent.
    pub sent: Instant,
    /// When an agent said that it has it.
    pub accepted: Option<Instant>,
    /// When the first verdict was heard, by the scanner or by the sorter.
    pub decided: Option<Instant>,
    /// The verdict that was heard first.
    pub verdict: Option<Verdict>,
    /// Somebody heard another one.
    pub contradicted: bool,
    /// It was refused, and why.
    pub refused: Option<String>,
}

impl Book {
    /// A scan is sent for the first time.
    pub fn sent(&self, id: &str, line: usize) {
        let scan = Scan {
            line,
            sent: Instant::now(),
            accepted: None,
            decided: None,
            verdict: None,
            contradicted: false,
            refused: None,
        };
        self.0.lock().insert(id.to_owned(), scan);
    }

    /// An agent has it on disk.
    pub fn accepted(&self, id: &str) {
        if let Some(scan) = self.0.lock().get_mut(id) {
            scan.accepted.get_or_insert_with(Instant::now);
        }
    }

    /// Somebody was told its verdict.
    pub fn told(&self, verdict: Verdict) {
        let mut scans = self.0.lock();
        let Some(scan) = scans.get_mut(&verdict.scan_id) else { return };
        match &scan.verdict {
            None => (scan.decided, scan.verdict) = (Some(Instant::now()), Some(verdict)),
            Some(first) => scan.contradicted |= *first != verdict,
        }
    }

    /// A scanner had an answer to it that no scanner may have: a second verdict, or one to a scan that it did not send.
    pub fn unexpected(&self, id: &str, answer: &str) {
        eprintln!("{id}: an unexpected {answer}");
        if let Some(scan) = self.0.lock().get_mut(id) {
            scan.contradicted = true;
        }
    }

    /// It was refused for good, or for now.
    pub fn refused(&self, id: &str, why: String) {
        if let Some(scan) = self.0.lock().get_mut(id) {
            scan.refused = Some(why);
        }
    }

    /// A copy of all.
    pub fn scans(&self) -> HashMap<String, Scan> {
        self.0.lock().clone()
    }

    /// Time from `since` until each of the lines had a verdict of the mesh for a scan that was sent after it: that of the
    /// slowest line. None when one of them has none yet.
    pub fn recovered(&self, since: Instant, lines: usize) -> Option<Duration> {
        let scans = self.0.lock();
        let first = |line: usize| {
            let after = scans.values().filter(|scan| scan.line == line && scan.sent >= since);
            let by_mesh = after.filter(|scan| {
                scan.verdict.as_ref().is_some_and(|verdict| verdict.decided_by() == DecidedBy::Mesh)
            });
            by_mesh.filter_map(|scan| scan.decided).min()
        };
        let slowest = (0..lines).map(first).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some(slowest.saturating_duration_since(since))
    }
}
