//! What a store of decisions must do, whatever it is made of.

use bytes::Bytes;
use jiff::Timestamp;
use ovomesh_api::{EggId, LineId, ScanId, Site};

use crate::StoreError;
use crate::once::Outcome;
use crate::record::Record;

/// Keeps rows, and hands them out encoded, as they were stored. A scan is known by its site and its id. Writes may be repeated in any order; what becomes of a row when
/// another one of its scan is stored is ruled by [`crate::once`].
pub trait Store: Send + Sync + 'static {
    /// Appends that may be on their way at once; more than one when a row may wait for another's disk.
    const APPENDS: usize = 1;

    /// Stores all rows that may be stored, or none. They are durable in every table when it returns with an outcome for
    /// each, in their order.
    fn append(&self, records: Vec<Record>) -> impl Future<Output = Result<Vec<Outcome>, StoreError>> + Send;

    /// One row by its scan, with its preview. Without a site: of the only one that has it, else
    /// [`StoreError::Ambiguous`].
    fn get_scan(
        &self,
        scan_id: ScanId,
        site: Option<Site>,
    ) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;

    /// At most `limit` rows of an egg, newest first, without previews. Without a site: of the only one that has it, else
    /// [`StoreError::Ambiguous`].
    fn list_egg(
        &self,
        egg_id: EggId,
        site: Option<Site>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Bytes>, StoreError>> + Send;

    /// A page of a line, without previews. A token that is none of this line is [`StoreError::Invalid`].
    fn list_line(&self, range: LineRange) -> impl Future<Output = Result<LinePage, StoreError>> + Send;

    /// Which lines have rows: of one site, or of all. At most `limit` of them, at least 1.
    fn list_lines(
        &self,
        site: Option<Site>,
        limit: usize,
    ) -> impl Future<Output = Result<StoredLines, StoreError>> + Send;

    /// Why rows cannot be stored now, in plain words; `None` when they can.
    fn trouble(&self) -> Option<String> {
        None
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Lines that have rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredLines {
    /// In order of site, then line.
    pub lines: Vec<LineId>,
    /// Whether there are more than these.
    pub more: bool,
}

/// Sites that are looked for when a question names none: one more than [`only`] names.
pub const SITES: usize = 9;

/// The only one of what was found at some sites, at most [`SITES`] of them.
///
/// # Errors
/// Names the sites, when it is more than one.
pub fn only<T>(what: impl std::fmt::Display, found: Vec<(Site, T)>) -> Result<Option<T>, StoreError> {
    if found.len() < 2 {
        return Ok(found.into_iter().next().map(|(_, only)| only));
    }
    let mut names: Vec<_> = found.iter().take(SITES - 1).map(|(site, _)| site.as_str()).collect();
    if found.len() >= SITES {
        names.push("...");
    }
    Err(StoreError::Ambiguous { what: what.to_string(), sites: names.join(", ") })
}

/// A range of one line.
#[derive(Debug, Clone)]
pub struct LineRange {
    pub line: LineId,
    /// First time, inclusive.
    pub from: Timestamp,
    /// Last time, exclusive.
    pub to: Timestamp,
    /// Rows at most, at least 1.
    pub limit: usize,
    /// `next` of the page before; empty for the first.
    pub token: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinePage {
    /// In order of time, then scan id.
    pub rows: Vec<Bytes>,
    /// Token of the next page; empty when this was the last.
    pub next: Vec<u8>,
}
