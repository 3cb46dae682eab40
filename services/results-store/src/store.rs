//! What a store of decisions must do, whatever it is made of.

use bytes::Bytes;
use jiff::Timestamp;
use ovomesh_api::{EggId, Invalid, LineId, ScanId, Site};

use crate::StoreError;
use crate::keys;
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

    /// A page of an egg, newest first, without previews. Without a site: of the only one that has it, else
    /// [`StoreError::Ambiguous`].
    fn list_egg(&self, range: EggRange) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// A page of a line, without previews. A token that is none of this line is [`StoreError::Invalid`].
    fn list_line(&self, range: LineRange) -> impl Future<Output = Result<Page, StoreError>> + Send;

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

/// Some of the scans of one egg.
#[derive(Debug, Clone)]
pub struct EggRange {
    pub egg_id: EggId,
    /// `None`: the only site that has an egg of this name.
    pub site: Option<Site>,
    /// Rows at most, at least 1.
    pub limit: usize,
    /// Where the page before ended; `None` for the first.
    pub after: Option<EggPosition>,
}

/// Where a page of an egg ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EggPosition {
    /// When its last row was acquired.
    pub at: Timestamp,
    /// The scan of its last row.
    pub scan_id: ScanId,
}

impl EggRange {
    /// The page behind the one that gave this token, empty for the first; then the site is the token's.
    ///
    /// # Errors
    /// When the token is none of this egg, or of another site than the question names.
    pub fn new(egg_id: EggId, site: Option<Site>, limit: usize, token: &[u8]) -> Result<Self, Invalid> {
        if token.is_empty() {
            return Ok(Self { egg_id, site, limit, after: None });
        }
        let of_site = site.as_ref().map(|site| format!(" of site {site}")).unwrap_or_default();
        let wrong = || {
            let limit = format!("the next token of a page of egg {egg_id}{of_site}");
            Invalid::field("token", "of another question", limit)
        };
        let (of, at, scan_id) = keys::read_egg(&egg_id, token).ok_or_else(wrong)?;
        if site.is_some_and(|site| site != of) {
            return Err(wrong());
        }
        Ok(Self { egg_id, site: Some(of), limit, after: Some(EggPosition { at, scan_id }) })
    }
}

/// A part of the rows of a line or an egg.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Of a line in order of time, of an egg newest first; then in order of scan id.
    pub rows: Vec<Bytes>,
    /// Token of the next page; empty when this was the last.
    pub next: Vec<u8>,
}
