//! What can go wrong, at the start and for one call.

use std::path::PathBuf;

/// Why the engine did not start, or why a call has no scores.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file of the model cannot be read.
    #[error("cannot read {}: {source}; is --models right, and the model in it?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No folder of models has it.
    #[error("no {model}/model.toml in {}; --models names the folder", list(folders))]
    NotFound {
        /// `name/version`.
        model: String,
        /// The folders of models that were tried.
        folders: Vec<PathBuf>,
    },
    /// `model.toml` is not what this program expects.
    #[error("{} is not usable: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model file is not the one that `model.toml` was written for.
    #[error("{} has SHA-256 {found}, its model.toml says {expected}: the file was changed or is incomplete, fetch it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// From `model.toml`.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// libtorch does not take the file, or what it computes has the wrong shape.
    #[error("{} does not run: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What libtorch said.
        reason: String,
    },
    /// The device that was asked for cannot be used.
    #[error("device {wanted} cannot be used: {reason}")]
    Device {
        /// As asked.
        wanted: String,
        /// Why not.
        reason: String,
    },
    /// A worker thread did not start.
    #[error("cannot start a worker thread: {0}")]
    Thread(std::io::Error),

    /// The samples are not one prepared volume.
    #[error(
        "prepared volume has {found} bytes, the model reads {expected}: send u8 samples of the grid in its model.toml"
    )]
    Size {
        /// Bytes that came.
        found: usize,
        /// Bytes of one input.
        expected: usize,
    },
    /// The queue is full.
    #[error("{limit} calls wait already; send less, or add replicas")]
    Full {
        /// Length of the queue.
        limit: usize,
    },
    /// The deadline passed before work began.
    #[error("the deadline passed before a worker was free")]
    Expired,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopped,
    /// The batch of this call failed.
    #[error("the model failed on a batch of {batch}: {reason}")]
    Failed {
        /// Size of the batch.
        batch: usize,
        /// What libtorch said, or that it panicked.
        reason: String,
    },
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The first line of an error of libtorch: the rest is a C++ stack trace.
pub(crate) fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
