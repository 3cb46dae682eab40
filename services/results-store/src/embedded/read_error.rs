//! Why rows of the embedded store could not be read or written.

use ovomesh_api::Invalid;

/// Why something could not be read or written.
pub(super) enum ReadError {
    /// The question is wrong.
    Invalid(Invalid),
    /// The engine or its disk failed.
    Engine(fjall::Error),
    /// A record cannot be decoded.
    Damaged(String),
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}
