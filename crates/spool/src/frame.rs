//! How a record lies in a file, and how records are found again in a damaged one. Pure: bytes in, records out.
//!
//! A record states its length, its id and its checksums twice, before and behind its payload. So one flipped bit, wherever
//! it is, damages at most one record, whose id is still known; and records behind it are found.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

/// First bytes of a header, and last of a trailer.
const HEAD: u32 = u32::from_le_bytes(*b"oVs1");
const TAIL: u32 = u32::from_le_bytes(*b"1sVo");
/// Bytes of the fixed part of a header or trailer.
const FIXED: usize = 20;
/// The longest id, in bytes: site, line and scan, with what separates them.
pub const MAX_ID: usize = 320;
/// The longest payload, in bytes: a volume of the largest grid and its header.
pub const MAX_PAYLOAD: usize = 300 << 20;

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

/// The bytes before and behind a payload.
///
/// # Panics
/// When the id or the payload is longer than it may be: callers check before.
pub fn around(kind: Kind, id: &str, payload: &[u8]) -> (Bytes, Bytes) {
    assert!(id.len() <= MAX_ID && payload.len() <= MAX_PAYLOAD, "checked by the log");
    let label = Label {
        kind,
        id_length: id.len(),
        payload_length: payload.len(),
        payload_crc: crc32c::crc32c(payload),
    };
    (label.write(HEAD, id), label.write(TAIL, id))
}

/// All that lies in a file, in its order and without gaps.
pub fn parse(file: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.len() {
        if let Some((label, id)) = Label::at_head(file, at) {
            let record = label.record(id, at);
            if record.at.end > file.len() {
                // Cut off, unless something follows: then a piece in the middle is missing.
                let end = next_head(file, at + 1);
                let is_torn_tail = end == file.len();
                found.push(Found::Damage(Damage { at: at..end, id: Some(record.id), is_torn_tail }));
                at = end;
                continue;
            }
            let next = checked(file, &label, record);
            at = next.at().end;
            found.push(next);
        } else {
            let end = next_head(file, at + 1);
            found.extend(backwards(file, at..end));
            at = end;
        }
    }
    found
}

fn checked(file: &[u8], label: &Label, record: Record) -> Found {
    if crc32c::crc32c(&file[record.payload.clone()]) == label.payload_crc {
        return Found::Record(record);
    }
    // A piece of it may be missing: then the next record begins before this one should have ended.
    let end = next_head(file, record.at.start + 1).min(record.at.end);
    Found::Damage(Damage { at: record.at.start..end, id: Some(record.id), is_torn_tail: false })
}

/// What lies in a range that begins with a damaged header: read from its end, by the trailers.
fn backwards(file: &[u8], range: Range<usize>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut end = range.end;
    while end > range.start {
        let read = Label::at_tail(file, end).and_then(|(label, id)| {
            let start = end.checked_sub(length(&id, label.payload_length))?;
            (start >= range.start).then(|| (label, label.record(id, start)))
        });
        let Some((label, record)) = read else {
            let is_torn_tail = end == file.len();
            found.push(Found::Damage(Damage { at: range.start..end, id: None, is_torn_tail }));
            break;
        };
        end = record.at.start;
        found.push(checked(file, &label, record));
    }
    found.reverse();
    found
}

/// Where the next whole header begins, or the end of the file.
fn next_head(file: &[u8], from: usize) -> usize {
    let magic = HEAD.to_le_bytes();
    (from..file.len().saturating_sub(FIXED))
        .find(|&at| file[at..].starts_with(&magic) && Label::at_head(file, at).is_some())
        .unwrap_or(file.len())
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

    /// magic, kind, a byte of 0, length of the id, length of the payload, its CRC-32C, CRC-32C of all of this and the id;
    /// the id is on the side of the payload.
    fn write(self, magic: u32, id: &str) -> Bytes {
        let mut fixed = BytesMut::with_capacity(FIXED + id.len());
        fixed.put_u32_le(magic);
        fixed.put_u8(self.kind);
        fixed.put_u8(0);
        fixed.put_u16_le(self.id_length as u16);
        fixed.put_u32_le(self.payload_length as u32);
        fixed.put_u32_le(self.payload_crc);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed), id.as_bytes());
        fixed.put_u32_le(crc);
        if magic == HEAD {
            fixed.put_slice(id.as_bytes());
            return fixed.freeze();
        }
        let mut trailer = BytesMut::with_capacity(FIXED + id.len());
        trailer.put_slice(id.as_bytes());
        trailer.put_slice(&fixed);
        trailer.freeze()
    }

    fn at_head(file: &[u8], at: usize) -> Option<(Self, String)> {
        let (fixed, rest) = file.get(at..)?.split_first_chunk::<FIXED>()?;
        let label = Self::read(HEAD, fixed)?;
        label.with_id(fixed, rest.get(..label.id_length)?)
    }

    /// The trailer that ends at `end`.
    fn at_tail(file: &[u8], end: usize) -> Option<(Self, String)> {
        let (rest, fixed) = file.get(..end)?.split_last_chunk::<FIXED>()?;
        let label = Self::read(TAIL, fixed)?;
        label.with_id(fixed, rest.get(rest.len().checked_sub(label.id_length)?..)?)
    }

    fn read(magic: u32, fixed: &[u8; FIXED]) -> Option<Self> {
        let word = |at: usize| fixed[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let label = Self {
            kind: fixed[4],
            id_length: u16::from_le_bytes([fixed[6], fixed[7]]).into(),
            payload_length: word(8)? as usize,
            payload_crc: word(12)?,
        };
        let is_possible = label.id_length <= MAX_ID && label.payload_length <= MAX_PAYLOAD;
        (word(0)? == magic && is_possible).then_some(label)
    }

    fn with_id(self, fixed: &[u8; FIXED], id: &[u8]) -> Option<(Self, String)> {
        let (covered, crc) = fixed.split_last_chunk::<4>()?;
        let own = crc32c::crc32c_append(crc32c::crc32c(covered), id);
        (own == u32::from_le_bytes(*crc)).then(|| Some((self, String::from_utf8(id.to_vec()).ok()?)))?
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
