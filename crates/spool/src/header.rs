//! The first bytes of every file of records: which version wrote them, and the key that tells the file's own frames from
//! bytes that only look like frames, such as those in a scan's samples.
//!
//! A header is written twice, each copy with its checksum, so that a flipped bit costs nothing. A file that ends before its
//! header does was being begun when everything stopped, and nothing in it was acknowledged. Version 0.1 wrote no header.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use crate::frame::{Damage, Format, Found, KEY};

const MAGIC: [u8; 7] = *b"ovomesh";
/// Files without a header count as version 1.
const VERSION: u8 = 2;
/// Magic, version, key, CRC-32C of these.
const COPY: usize = MAGIC.len() + 1 + KEY + 4;
/// Bytes of a header. A later version may have a longer one.
pub const BYTES: usize = 2 * COPY;

/// How a file of records begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Frames of this format from this byte on.
    Frames(Format, usize),
    /// Its header was being written when everything stopped.
    Torn,
    /// Its header cannot be read, and so nothing of it can.
    Damaged,
    /// A version of the program wrote it that is newer than this one.
    Newer(u8),
}

/// Begins a file of records, which is empty, with a key of its own. It is durable with the first record.
pub fn begin(file: &mut File) -> io::Result<Format> {
    let key: [u8; KEY] = rand::random();
    file.write_all(&write(key))?;
    Ok(Format::keyed(key))
}

/// How an open file begins; reads its first bytes alone.
pub fn of(file: &mut File) -> io::Result<Start> {
    let mut first = Vec::with_capacity(BYTES);
    file.seek(SeekFrom::Start(0))?;
    file.take(BYTES as u64).read_to_end(&mut first)?;
    Ok(read(&first))
}

/// A file of a version that is newer than this one.
#[derive(Debug)]
pub struct Newer(pub u8);

/// All that lies in a file behind its header, in its order and without gaps.
pub fn parse(file: &[u8]) -> Result<Vec<Found>, Newer> {
    let nothing = |is_torn_tail| {
        let damage = Damage { at: 0..file.len(), id: None, is_torn_tail };
        Ok(vec![Found::Damage(damage)])
    };
    match read(file) {
        Start::Frames(format, at) => Ok(format.parse(file, at)),
        Start::Torn => nothing(true),
        Start::Damaged => nothing(false),
        Start::Newer(version) => Err(Newer(version)),
    }
}

/// How a file begins, from all of its bytes or the first [`BYTES`].
pub fn read(file: &[u8]) -> Start {
    let copies = [file.get(..COPY), file.get(COPY..BYTES)];
    if let Some((version, key)) = copies.into_iter().flatten().find_map(read_copy) {
        return match version {
            VERSION if file.len() < BYTES => Start::Torn,
            VERSION => Start::Frames(Format::keyed(key), BYTES),
            newer => Start::Newer(newer),
        };
    }
    let first = &file[..file.len().min(BYTES)];
    // A disk that lost its power may have kept the length of a file and not its bytes.
    let is_blank = first.iter().all(|byte| *byte == 0);
    let is_begun = first.len() < BYTES && MAGIC.starts_with(&first[..first.len().min(MAGIC.len())]);
    let has_magic =
        first.starts_with(&MAGIC) || first.get(COPY..).is_some_and(|copy| copy.starts_with(&MAGIC));
    match first.len() {
        0 => Start::Frames(Format::FIRST, 0),
        _ if is_begun || is_blank => Start::Torn,
        // A key is never guessed, nor another format tried: samples could hold frames of it.
        _ if has_magic => Start::Damaged,
        _ => Start::Frames(Format::FIRST, 0),
    }
}

fn write(key: [u8; KEY]) -> [u8; BYTES] {
    let mut copy = [0; COPY];
    let (covered, crc) = copy.split_at_mut(COPY - 4);
    covered[..MAGIC.len()].copy_from_slice(&MAGIC);
    covered[MAGIC.len()] = VERSION;
    covered[MAGIC.len() + 1..].copy_from_slice(&key);
    crc.copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
    let mut header = [0; BYTES];
    header[..COPY].copy_from_slice(&copy);
    header[COPY..].copy_from_slice(&copy);
    header
}

/// Version and key; of a newer version the key means nothing.
fn read_copy(copy: &[u8]) -> Option<(u8, [u8; KEY])> {
    let (covered, crc) = copy.split_last_chunk::<4>()?;
    let (version, key) = covered.strip_prefix(&MAGIC)?.split_first()?;
    (crc32c::crc32c(covered).to_le_bytes() == *crc).then_some((*version, key.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER_KEY: [u8; KEY] = *b"twelve bytes";

    fn whole() -> Start {
        Start::Frames(Format::keyed(HEADER_KEY), BYTES)
    }

    #[test]
    fn a_header_is_read_and_a_shorter_one_is_torn() {
        let header = write(HEADER_KEY);
        assert_eq!(read(&header), whole());
        for end in 1..BYTES {
            assert_eq!(read(&header[..end]), Start::Torn, "cut at {end}");
        }
        assert_eq!(read(&[0; 4_096]), Start::Torn, "the length is on disk, and no byte");
    }

    #[test]
    fn a_flipped_bit_in_a_header_costs_nothing_and_two_copies_at_fault_are_damage() {
        for bit in 0..BYTES * 8 {
            let mut header = write(HEADER_KEY);
            header[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&header), whole(), "bit {bit}");
        }
        let mut header = write(HEADER_KEY);
        (header[10], header[COPY + 10]) = (1, 1);
        assert_eq!(read(&header), Start::Damaged);
    }

    #[test]
    fn a_newer_header_is_left_alone_and_a_file_without_one_is_of_the_first_version() {
        let mut header = write(HEADER_KEY);
        header[MAGIC.len()] = 3;
        let crc = crc32c::crc32c(&header[..COPY - 4]);
        header[COPY - 4..COPY].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read(&header), Start::Newer(3));
        for old in [&b""[..], b"oVs1", b"not a header, and longer than a header would be, which is 48 bytes"]
        {
            assert_eq!(read(old), Start::Frames(Format::FIRST, 0));
        }
    }
}
