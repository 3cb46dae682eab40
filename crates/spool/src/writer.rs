//! The thread that writes: it takes what has come, writes it, and fsyncs once for all of it.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::entry::Entry;
use crate::frame::Format;
use crate::ledger::Ledger;
use crate::segment::Number;
use crate::{Error, frame, header, segment};

/// Bytes that are written before an fsync; more wait for the next one.
const GROUP_BYTES: usize = 8 << 20;
/// Records of one fsync.
const GROUP: usize = 1_024;

/// What the thread is asked to do.
pub enum Command {
    /// Write a record.
    Append(Append),
    /// Delete a segment in which nothing lives.
    Remove(Number),
}

/// A record to write, and who waits for it.
pub struct Append {
    pub kind: frame::Kind,
    pub id: String,
    pub payload: Bytes,
    /// Whether it is fsynced before it is done; else it outlives the process, and a power cut may take it.
    pub is_durable: bool,
    pub done: oneshot::Sender<Result<Entry, Error>>,
}

/// The writing half of a log.
pub struct Writer {
    pub folder: PathBuf,
    /// A segment that is longer gets no more records.
    pub segment_bytes: u64,
    pub ledger: Arc<Ledger>,
    pub next: Number,
    pub active: Option<Active>,
}

/// The segment that is being written.
pub struct Active {
    number: Number,
    file: File,
    format: Format,
    /// Bytes that are whole, and durable but for notes behind the last durable record.
    length: u64,
}

impl Writer {
    /// Works until nobody can ask for anything more.
    pub fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut group = Vec::new();
        while commands.blocking_recv_many(&mut group, GROUP) > 0 {
            let mut appends = Vec::new();
            let mut bytes = 0;
            for command in group.drain(..) {
                match command {
                    Command::Append(append) => {
                        bytes += append.payload.len();
                        appends.push(append);
                        if bytes >= GROUP_BYTES {
                            self.append(std::mem::take(&mut appends));
                            bytes = 0;
                        }
                    }
                    Command::Remove(number) => self.remove(number),
                }
            }
            if !appends.is_empty() {
                self.append(appends);
            }
        }
    }

    /// All of these are written, and durable where they have to be; or none was written.
    fn append(&mut self, appends: Vec<Append>) {
        let result = self.write(&appends);
        let mut entries = match &result {
            Ok(entries) => entries.clone(),
            Err(error) => {
                tracing::error!(%error, records = appends.len(), "records were not written");
                self.undo();
                Vec::new()
            }
        }
        .into_iter();
        for append in appends {
            let length = frame::length(&append.id, append.payload.len()) as u64;
            let outcome = match (entries.next(), &result) {
                (Some(entry), _) => Ok(entry),
                (None, Err(error)) => Err(error.clone()),
                (None, Ok(_)) => Err(Error::Closed),
            };
            self.ledger.wrote(outcome.as_ref().ok(), length);
            // Who has left was not told that it is durable, and will not let it go.
            if let Err(Ok(entry)) = append.done.send(outcome)
                && self.ledger.free(entry.segment)
            {
                self.remove(entry.segment);
            }
        }
    }

    fn write(&mut self, appends: &[Append]) -> Result<Vec<Entry>, Error> {
        if self.active.as_ref().is_none_or(|active| active.length >= self.segment_bytes) {
            self.roll()?;
        }
        let Some(active) = &mut self.active else { return Err(Error::Closed) };
        let path = segment::path(&self.folder, active.number);
        let mut entries = Vec::with_capacity(appends.len());
        let mut at = active.length;
        let mut write = || {
            for Append { kind, id, payload, .. } in appends {
                let (head, tail) = active.format.around(*kind, id, payload);
                for part in [&head, payload, &tail] {
                    active.file.write_all(part)?;
                }
                let payload_at = at + head.len() as u64;
                let end = at + frame::length(id, payload.len()) as u64;
                entries.push(Entry {
                    kind: *kind,
                    id: id.clone(),
                    segment: active.number,
                    at,
                    payload: payload_at..payload_at + payload.len() as u64,
                });
                at = end;
            }
            if appends.iter().any(|append| append.is_durable) { active.file.sync_data() } else { Ok(()) }
        };
        write().map_err(|error| Error::io(&path, &error))?;
        active.length = at;
        Ok(entries)
    }

    fn roll(&mut self) -> Result<(), Error> {
        // Whatever becomes of the new one, the old one is as it should be.
        if let Some(old) = self.active.take() {
            self.close(old.number);
        }
        let number = self.next;
        self.next += 1;
        let (file, format) = segment::create(&self.folder, number)?;
        let length = header::BYTES as u64;
        self.ledger.opened(number, length);
        self.active = Some(Active { number, file, format, length });
        Ok(())
    }

    /// After an error nothing is known of what the file holds behind its last whole record: that is cut off, and another
    /// file is begun. Where even that fails, the reader will find a torn tail.
    fn undo(&mut self) {
        if let Some(Active { number, file, length, .. }) = self.active.take() {
            if let Err(error) = file.set_len(length).and_then(|()| file.sync_all()) {
                tracing::warn!(segment = number, %error, "what was not written could not be cut off");
            }
            self.close(number);
        }
    }

    fn close(&mut self, number: Number) {
        if self.ledger.closed(number) {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: Number) {
        let path = segment::path(&self.folder, number);
        match std::fs::remove_file(&path) {
            Ok(()) => self.ledger.removed(number),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a segment could not be removed"),
        }
    }
}
