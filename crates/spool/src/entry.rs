//! Where a record is in its log.

use std::ops::Range;

use crate::frame::{Kind, length};
use crate::segment::Number;

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is.
    pub id: String,
    pub(crate) segment: Number,
    pub(crate) at: u64,
    pub(crate) payload: Range<u64>,
}

impl Entry {
    /// Where it stands in its log: records are ordered by it as they were written.
    pub fn position(&self) -> (Number, u64) {
        (self.segment, self.at)
    }

    /// Its size on disk.
    pub fn bytes(&self) -> u64 {
        length(&self.id, (self.payload.end - self.payload.start) as usize) as u64
    }
}
