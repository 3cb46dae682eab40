//! A log: appended to, read from, and let go of record by record; its files go when nothing in them lives.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::entry::Entry;
use crate::frame::{Damage, Found, Kind, MAX_ID, MAX_PAYLOAD, length};
use crate::header::{self, Start};
use crate::ledger::Ledger;
use crate::segment::{self, Number};
use crate::writer::{Append, Command, Writer};

/// Records that may wait for the writer; whoever appends more waits for a place.
const WAITING: usize = 4_096;
/// Held while the log is open, so that no two processes write one.
pub(crate) const LOCK: &str = "lock";

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A file that is longer gets no more records. Space comes back in such pieces.
    pub segment_bytes: u64,
    /// Bytes of all files together; a record that does not fit is refused.
    pub limit_bytes: u64,
    /// Bytes that are left to others on the disk: a record that would take of them is refused as on a full disk.
    pub keep_free_bytes: u64,
}

/// What was found when the log was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Records that are whole, oldest first. Each lives until it is [let go](Log::free).
    pub entries: Vec<Entry>,
    /// Records that are not.
    pub lost: Vec<Lost>,
}

/// A record that was damaged or torn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its file.
    pub path: PathBuf,
    /// Its bytes in the file.
    pub at: Range<u64>,
    /// Whose it was, if that can be told.
    pub id: Option<String>,
    /// It was being written when everything stopped, so nobody was told that it is durable; it has been cut off.
    pub is_torn_tail: bool,
}

impl Lost {
    pub(crate) fn new(path: PathBuf, damage: Damage) -> Self {
        let Damage { at, id, is_torn_tail } = damage;
        Self { path, at: at.start as u64..at.end as u64, id, is_torn_tail }
    }
}

/// An open log. Dropping it waits until what was appended is written.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    keep_free_bytes: u64,
    ledger: Arc<Ledger>,
    /// None only while it is dropped.
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
    _lock: File,
}

impl Log {
    /// Opens a log, or begins one. Reads all of it: about a second for each GB.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Recovered), Error> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
        let lock = lock(folder)?;
        let ledger = Ledger::new(options.limit_bytes);
        let mut recovered = Recovered::default();
        let numbers = segment::list(folder)?;
        for &number in &numbers {
            recover(folder, number, &ledger, &mut recovered)?;
        }
        let ledger = Arc::new(ledger);
        let (commands, asked) = mpsc::channel(WAITING);
        let writer = Writer {
            folder: folder.to_owned(),
            segment_bytes: options.segment_bytes,
            ledger: ledger.clone(),
            // What was there before is never written to again.
            next: numbers.last().map_or(1, |last| last + 1),
            active: None,
        };
        let thread = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(asked))
            .map_err(|error| Error::io(folder, &error))?;
        let log = Self {
            folder: folder.to_owned(),
            keep_free_bytes: options.keep_free_bytes,
            ledger,
            commands: Some(commands),
            writer: Some(thread),
            _lock: lock,
        };
        for number in log.ledger.dead() {
            log.remove(number);
        }
        Ok((log, recovered))
    }

    /// Appends a record; when this returns it is on disk. It lives until it is [let go](Self::free).
    pub async fn append(&self, kind: Kind, id: &str, payload: Bytes) -> Result<Entry, Error> {
        self.write(kind, id, payload, true).await
    }

    /// Appends a record without an fsync of its own: when this returns it outlives the process, but a power cut may take it
    /// until the next [append](Self::append).
    pub async fn note(&self, kind: Kind, id: &str) -> Result<Entry, Error> {
        self.write(kind, id, Bytes::new(), false).await
    }

    async fn write(&self, kind: Kind, id: &str, payload: Bytes, is_durable: bool) -> Result<Entry, Error> {
        if id.len() > MAX_ID || payload.len() > MAX_PAYLOAD {
            return Err(Error::TooLong {
                id: id.len(),
                payload: payload.len(),
                max_id: MAX_ID,
                max_payload: MAX_PAYLOAD,
            });
        }
        let bytes = length(id, payload.len()) as u64;
        self.disk_has_room(bytes)?;
        self.ledger.reserve(bytes).map_err(|used| Error::Full {
            folder: self.folder.clone(),
            used,
            limit: self.ledger.limit,
        })?;
        let (done, written) = oneshot::channel();
        let append = Append { kind, id: id.to_owned(), payload, is_durable, done };
        let commands = self.commands.as_ref().ok_or(Error::Closed)?;
        commands.send(Command::Append(append)).await.map_err(|_| Error::Closed)?;
        written.await.unwrap_or(Err(Error::Closed))
    }

    fn disk_has_room(&self, bytes: u64) -> Result<(), Error> {
        if self.keep_free_bytes == 0 {
            return Ok(());
        }
        // Where the system does not say, writing will.
        let free = rustix::fs::statvfs(&self.folder).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
        if free < bytes + self.keep_free_bytes {
            return Err(Error::DiskFull { path: self.folder.clone() });
        }
        Ok(())
    }

    /// The bytes of a record that was not let go.
    pub fn read(&self, entry: &Entry) -> Result<Bytes, Error> {
        let path = segment::path(&self.folder, entry.segment);
        let end = entry.at + entry.bytes();
        let read = || {
            let mut file = File::open(&path)?;
            let start = header::of(&mut file)?;
            file.seek(SeekFrom::Start(entry.at))?;
            let mut bytes = Vec::new();
            file.take(end - entry.at).read_to_end(&mut bytes)?;
            Ok((start, bytes))
        };
        let (start, bytes) = read().map_err(|error| Error::io(&path, &error))?;
        let found = match start {
            Start::Frames(format, _) => format.parse(&bytes, 0),
            Start::Torn | Start::Damaged | Start::Newer(_) => Vec::new(),
        };
        match found.as_slice() {
            [Found::Record(record)] if record.id == entry.id => {
                Ok(Bytes::from(bytes).slice(record.payload.clone()))
            }
            _ => Err(Error::Damaged { path, id: entry.id.clone() }),
        }
    }

    /// Lets a record go: its file is removed with its last one.
    pub fn free(&self, entry: &Entry) {
        if self.ledger.free(entry.segment) {
            self.remove(entry.segment);
        }
    }

    /// Comes back when nothing can be appended any more, because the thread that writes has panicked.
    pub async fn failed(&self) {
        if let Some(commands) = &self.commands {
            commands.closed().await;
        }
    }

    /// Bytes of all files, and of what is on its way.
    pub fn used(&self) -> u64 {
        self.ledger.used()
    }

    /// Bytes that they may have.
    pub fn limit(&self) -> u64 {
        self.ledger.limit
    }

    fn remove(&self, number: Number) {
        // A writer that is busy for longer than its queue removes it when the log is next opened.
        if let Some(commands) = &self.commands {
            let _ = commands.try_send(Command::Remove(number));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the spool's thread had panicked");
        }
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|error| Error::io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked { folder: folder.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::io(&path, &error)),
    }
}

fn recover(folder: &Path, number: Number, ledger: &Ledger, recovered: &mut Recovered) -> Result<(), Error> {
    let mut contents = segment::read(folder, number)?;
    for damage in contents.damage {
        if damage.is_torn_tail {
            contents.bytes = damage.at.start as u64;
            segment::cut(folder, number, contents.bytes)?;
        }
        let lost = Lost::new(segment::path(folder, number), damage);
        tracing::warn!(path = %lost.path.display(), at = ?lost.at, id = lost.id, torn = lost.is_torn_tail, "a record is lost");
        recovered.lost.push(lost);
    }
    ledger.found(number, contents.bytes, contents.records.len());
    recovered.entries.extend(contents.records.into_iter().map(|record| Entry {
        kind: record.kind,
        id: record.id,
        segment: number,
        at: record.at.start as u64,
        payload: record.payload.start as u64..record.payload.end as u64,
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_whose_thread_panics_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { segment_bytes: 1 << 20, limit_bytes: 1 << 20, keep_free_bytes: 0 };
        let (log, _) = Log::open(folder.path(), options).expect("it opens");
        let (done, written) = oneshot::channel();
        // Longer than a frame can hold: callers check that, the thread asserts it.
        let id = "x".repeat(MAX_ID + 1);
        let append = Append { kind: 1, id, payload: Bytes::new(), is_durable: true, done };
        log.commands.as_ref().expect("it is open").send(Command::Append(append)).await.expect("it takes it");
        assert!(written.await.is_err(), "it is not written");
        let failed = tokio::time::timeout(std::time::Duration::from_secs(10), log.failed());
        failed.await.expect("it fails within 10 s");
        assert_eq!(log.append(1, "next", Bytes::new()).await, Err(Error::Closed));
    }
}
