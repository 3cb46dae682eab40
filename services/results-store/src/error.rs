//! What can go wrong with a store, and what a caller is told.

use ovomesh_mesh::StageError;
use tonic::{Code, Status};

/// An error of a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The row breaks the contract: it can never be stored.
    #[error("{0}")]
    Invalid(#[from] ovomesh_api::Invalid),
    /// The disk or the database does not take it now. Nothing was acknowledged.
    #[error("the store in {place} does not work now: {reason}; it is tried again")]
    Unavailable {
        /// Folder or contact point.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// What is stored cannot be read.
    #[error("the store in {place} holds a record that cannot be read: {reason}")]
    Damaged {
        /// Folder or contact point.
        place: String,
        /// Which, and what is wrong with it.
        reason: String,
    },
}

impl StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::Damaged { .. } => Code::DataLoss,
        }
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        let retryable = matches!(error, StoreError::Unavailable { .. });
        Self { code: error.code(), message: error.to_string(), retryable }
    }
}
