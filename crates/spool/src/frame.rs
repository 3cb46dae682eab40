//! How a record lies in a file, and how records are found again in a damaged one. Pure: bytes in, records out.
//!
//! A record states its length, its id and its checksums twice, before and behind its payload. So one flipped bit, wherever
//! it is, damages at most one record, whose id is still known; and records behind it are found.
//!
//! Where a record is damaged or torn, the next one is looked for byte by byte, also within payloads. So the marks and
//! checksums of each file depend on a random key of its own (see [`crate::header`]): what somebody put into a payload never
//! passes for a record.

use std::ops::Range;

use bytes::{BufMut as _, Bytes};

/// Bytes of a file's key.
pub(crate) const KEY: usize = 12;
/// Bytes of the fixed part of a header or trailer.
const FIXED: usize = 20;
/// The longest id, in bytes: site, line and scan, with what separates them.
pub const MAX_ID: usize = 320;
/// The longest payload, in bytes: a volume of the largest grid and its header.
pub const MAX_PAYLOAD: usize = 300 << 20;

/// What tells the frames of one file from other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// First bytes of a header.
    head: u32,
    /// Last bytes of a trailer.
    tail: u32,
    /// What checksums begin with.
    seed: u32,
}

/// What a record is for; the log that owns it gives it a meaning.
pub type Kind = u8;

/// A record that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is.
    pub id: String,
    /// Where it lies in its file.
    pub at: Range<usize>,
    /// Where its payload lies in its file.
    pub payload: Range<usize>,
}

/// Bytes that are no whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub at: Range<usize>,
    /// Whose they were, if that can be told.
    pub id: Option<String>,
    /// They are the last of their file: a record that was being written when everything stopped.
    pub is_torn_tail: bool,
}

/// What lies at a place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A record.
    Record(Record),
    /// Something that was one.
    Damage(Damage),
}

impl Found {
    /// Where.
    pub fn at(&self) -> &Range<usize> {
        match self {
            Self::Record(record) => &record.at,
            Self::Damage(damage) => &damage.at,
        }
    }
}

/// Bytes that a record takes on disk.
pub fn length(id: &str, payload: usize) -> usize {
    2 * (FIXED + id.len()) + payload
}

impl Format {
    /// Of files without a header, as version 0.1 wrote them.
    pub(crate) const FIRST: Self =
        Self { head: u32::from_le_bytes(*b"oVs1"), tail: u32::from_le_bytes(*b"1sVo"), seed: 0 };

    /// Of files with this key.
    pub(crate) fn keyed(key: [u8; KEY]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = key;
        let word = u32::from_le_bytes;
        Self { head: word([a, b, c, d]), tail: word([e, f, g, h]), seed: word([i, j, k, l]) }
    }

    /// The bytes before and behind a payload.
    ///
    /// # Panics
    /// When the id or the payload is longer than it may be: callers check before.
    pub fn around(self, kind: Kind, id: &str, payload: &[u8]) -> (Bytes, Bytes) {
        assert!(id.len() <= MAX_ID && payload.len() <= MAX_PAYLOAD, "checked by the log");
        let label = Label {
            kind,
            id_length: id.len(),
            payload_length: payload.len(),
            payload_crc: self.crc(payload),
        };
        let (head, tail) = (self.fixed(self.head, label, id), self.fixed(self.tail, label, id));
        ([&head, id.as_bytes()].concat().into(), [id.as_bytes(), &tail].concat().into())
    }

    /// All that lies in a file from a byte on, in its order and without gaps.
    pub fn parse(self, file: &[u8], from: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let mut at = from;
        while at < file.len() {
            if let Some((label, id)) = self.at_head(file, at) {
                let record = label.record(id, at);
                if record.at.end > file.len() {
                    // Cut off, unless something follows: then a piece in the middle is missing.
                    let end = self.next_head(file, at + 1);
                    let is_torn_tail = end == file.len();
                    found.push(Found::Damage(Damage { at: at..end, id: Some(record.id), is_torn_tail }));
                    at = end;
                    continue;
                }
                let next = self.checked(file, label, record);
                at = next.at().end;
                found.push(next);
            } else {
                let end = self.next_head(file, at + 1);
                found.extend(self.backwards(file, at..end));
                at = end;
            }
        }
        found
    }

    fn checked(self, file: &[u8], label: Label, record: Record) -> Found {
        if self.crc(&file[record.payload.clone()]) == label.payload_crc {
            return Found::Record(record);
        }
        // A piece of it may be missing: then the next record begins before this one should have ended.
        let end = self.next_head(file, record.at.start + 1).min(record.at.end);
        Found::Damage(Damage { at: record.at.start..end, id: Some(record.id), is_torn_tail: false })
    }

    /// What lies in a range that begins with a damaged header: read from its end, by the trailers.
    fn backwards(self, file: &[u8], range: Range<usize>) -> Vec<Found> {
        let mut found = Vec::new();
        let mut end = range.end;
        while end > range.start {
            let read = self.at_tail(file, end).and_then(|(label, id)| {
                let start = end.checked_sub(length(&id, label.payload_length))?;
                (start >= range.start).then(|| (label, label.record(id, start)))
            });
            let Some((label, record)) = read else {
                let is_torn_tail = end == file.len();
                found.push(Found::Damage(Damage { at: range.start..end, id: None, is_torn_tail }));
                break;
            };
            end = record.at.start;
            found.push(self.checked(file, label, record));
        }
        found.reverse();
        found
    }

    /// Where the next whole header begins, or the end of the file.
    fn next_head(self, file: &[u8], from: usize) -> usize {
        let mark = self.head.to_le_bytes();
        (from..file.len().saturating_sub(FIXED))
            .find(|&at| file[at..].starts_with(&mark) && self.at_head(file, at).is_some())
            .unwrap_or(file.len())
    }

    fn at_head(self, file: &[u8], at: usize) -> Option<(Label, String)> {
        let (fixed, rest) = file.get(at..)?.split_first_chunk::<FIXED>()?;
        let label = Label::read(self.head, fixed)?;
        self.with_id(label, fixed, rest.get(..label.id_length)?)
    }

    /// The trailer that ends at `end`.
    fn at_tail(self, file: &[u8], end: usize) -> Option<(Label, String)> {
        let (rest, fixed) = file.get(..end)?.split_last_chunk::<FIXED>()?;
        let label = Label::read(self.tail, fixed)?;
        self.with_id(label, fixed, rest.get(rest.len().checked_sub(label.id_length)?..)?)
    }

    /// The fixed part of a header or trailer: mark, kind, a byte of 0, length of the id, length of the payload, its CRC-32C,
    /// CRC-32C of all of this and the id.
    fn fixed(self, mark: u32, label: Label, id: &str) -> [u8; FIXED] {
        let mut fixed = [0; FIXED];
        let mut rest = &mut fixed[..];
        rest.put_u32_le(mark);
        rest.put_u8(label.kind);
        rest.put_u8(0);
        rest.put_u16_le(label.id_length as u16);
        rest.put_u32_le(label.payload_length as u32);
        rest.put_u32_le(label.payload_crc);
        let (covered, crc) = fixed.split_at_mut(FIXED - 4);
        crc.copy_from_slice(&self.crc_with(covered, id.as_bytes()).to_le_bytes());
        fixed
    }

    fn with_id(self, label: Label, fixed: &[u8; FIXED], id: &[u8]) -> Option<(Label, String)> {
        let (covered, crc) = fixed.split_last_chunk::<4>()?;
        let is_whole = self.crc_with(covered, id).to_le_bytes() == *crc;
        is_whole.then(|| Some((label, String::from_utf8(id.to_vec()).ok()?)))?
    }

    fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.seed, bytes)
    }

    fn crc_with(self, covered: &[u8], id: &[u8]) -> u32 {
        crc32c::crc32c_append(self.crc(covered), id)
    }
}

/// What a header or a trailer says.
#[derive(Debug, Clone, Copy)]
struct Label {
    kind: Kind,
    id_length: usize,
    payload_length: usize,
    payload_crc: u32,
}

impl Label {
    fn record(self, id: String, start: usize) -> Record {
        let payload = start + FIXED + self.id_length;
        let payload = payload..payload + self.payload_length;
        let at = start..start + length(&id, self.payload_length);
        Record { kind: self.kind, id, at, payload }
    }

    fn read(mark: u32, fixed: &[u8; FIXED]) -> Option<Self> {
        let word = |at: usize| fixed[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let label = Self {
            kind: fixed[4],
            id_length: u16::from_le_bytes([fixed[6], fixed[7]]).into(),
            payload_length: word(8)? as usize,
            payload_crc: word(12)?,
        };
        let is_possible = label.id_length <= MAX_ID && label.payload_length <= MAX_PAYLOAD;
        (word(0)? == mark && is_possible).then_some(label)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
