//! Looks at the journal before the engine does.
//!
//! A crash of the machine in the middle of an fsync leaves the last batch with holes, because pages reach the disk in
//! any order. That batch was never acknowledged. The engine refuses to open with some such holes for ever, and with
//! damage in the middle of a journal it silently drops what follows, which was acknowledged. So a torn last batch is cut
//! off here, and damage before others is an error.
//!
//! The format is fjall 3's: a batch is a start (tag 1, items u32, number u64), items, and an end (tag 3, XXH3-64 of the
//! items, `FJL` 3); an item is tag 2, kind u8, compression u8, keyspace u64, key length u16, value length u32, length
//! on disk u32, key, value; tag 4 clears a keyspace u64. All little-endian; zeros follow, where the file is longer.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";

/// Why the store cannot be opened.
#[derive(Debug)]
pub(super) enum Error {
    Io(std::io::Error),
    /// Acknowledged rows were damaged.
    Damaged(String),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Checks all journals in `folder`, and cuts a torn last batch off. Nobody else may have the folder open.
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    let journals = journals(folder)?;
    for (number, path) in &journals {
        let end = whole(path)?;
        let tail = JournalTail::after(path, end)?;
        let newest = journals.last().is_some_and(|(last, _)| last == number);
        match tail {
            JournalTail::Nothing => {}
            JournalTail::Torn if newest => {
                tracing::warn!(journal = %path.display(), end, "the last batch is torn, as a crash leaves it: cut off");
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(end)?;
                file.sync_all()?;
            }
            JournalTail::Torn | JournalTail::More => {
                return Err(Error::Damaged(format!(
                    "{} is damaged from byte {end} on, and stored rows follow; restore the folder from a copy",
                    path.display()
                )));
            }
        }
    }
    Ok(())
}

/// Journals in the order of their numbers.
fn journals(folder: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| journal) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Where the whole batches end.
fn whole(path: &Path) -> std::io::Result<u64> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut end, mut buffer) = (0, Vec::new());
    loop {
        match batch(&mut file, &mut buffer) {
            Ok(()) => end = file.stream_position()?,
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
                return Ok(end);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads one batch and checks it.
fn batch(file: &mut impl Read, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let broken = || Err(ErrorKind::InvalidData.into());
    if byte(file)? != START {
        return broken();
    }
    let items = u32::from_le_bytes(exact(file)?);
    let _number: [u8; 8] = exact(file)?;
    let mut hash = Xxh3::new();
    for _ in 0..items {
        let tag = byte(file)?;
        hash.update(&[tag]);
        match tag {
            ITEM => {
                let head: [u8; 20] = exact(file)?;
                hash.update(&head);
                let key = u64::from(u16::from_le_bytes([head[10], head[11]]));
                let value = u64::from(u32::from_le_bytes([head[16], head[17], head[18], head[19]]));
                buffer.clear();
                if file.take(key + value).read_to_end(buffer)? as u64 != key + value {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                hash.update(buffer);
            }
            CLEAR => hash.update(&exact::<8>(file)?),
            _ => return broken(),
        }
    }
    let tag = byte(file)?;
    let checksum = u64::from_le_bytes(exact(file)?);
    if tag != END || exact(file)? != MAGIC || checksum != hash.digest() { broken() } else { Ok(()) }
}

fn byte(file: &mut impl Read) -> std::io::Result<u8> {
    Ok(exact::<1>(file)?[0])
}

fn exact<const N: usize>(file: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What follows the whole batches.
#[derive(Debug, PartialEq)]
enum JournalTail {
    Nothing,
    /// One batch that is not whole.
    Torn,
    /// Batches, the first of which is not whole.
    More,
}

impl JournalTail {
    fn after(path: &Path, end: u64) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(end))?;
        let mut rest = Vec::new();
        BufReader::new(file).read_to_end(&mut rest)?;
        // An end of a batch with the start of another behind it.
        let more = |window: &[u8]| window[0] == END && window[9..13] == MAGIC && window[13] == START;
        Ok(if rest.iter().all(|byte| *byte == 0) {
            Self::Nothing
        } else if rest.windows(14).any(more) {
            Self::More
        } else {
            Self::Torn
        })
    }
}
