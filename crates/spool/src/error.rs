//! What can go wrong with a log.

use std::path::{Path, PathBuf};

/// Why a record was not written or not read. Messages say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The log holds as much as it may.
    #[error("the spool {folder} is full: {used} of {limit} bytes; records leave it when they are settled")]
    Full {
        /// The log's folder.
        folder: PathBuf,
        /// Bytes in it.
        used: u64,
        /// Bytes that it may hold.
        limit: u64,
    },
    /// Its disk is full.
    #[error("the disk of {path} is full; make room, or give the spool another disk")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the system refuses.
    #[error("{path}: {detail}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Another process has it.
    #[error("the spool {folder} is in use by another process")]
    Locked {
        /// The log's folder.
        folder: PathBuf,
    },
    /// An id or a payload that no record can have.
    #[error(
        "a record has an id of {id} bytes and a payload of {payload} bytes; {max_id} and {max_payload} are possible"
    )]
    TooLong {
        /// Bytes of the id.
        id: usize,
        /// Bytes of the payload.
        payload: usize,
        /// The most of an id.
        max_id: usize,
        /// The most of a payload.
        max_payload: usize,
    },
    /// What is read is not what was written.
    #[error("{path}: the record of {id} is damaged on disk")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Whose it was.
        id: String,
    },
    /// A program wrote it that is newer than this one. Nothing is touched.
    #[error(
        "{path} is in format {version} of a newer version of ovomesh; start that version, or let it empty the spool"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: u8,
    },
    /// The log was closed.
    #[error("the spool is closed")]
    Closed,
}

impl Error {
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned() }
            }
            _ => Self::Io { path: path.to_owned(), detail: error.to_string() },
        }
    }
}
