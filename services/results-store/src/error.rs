//! What can go wrong with a store, and the error that a caller receives.

use ovomesh_api::Fault;
use ovomesh_mesh::StageError;
use tonic::Status;

/// An error of a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// What was sent breaks the contract: it can never be stored or answered.
    #[error("{0}")]
    Invalid(#[from] ovomesh_api::Invalid),
    /// Several sites have what was asked for, and the question names none.
    #[error("{what} is known at more than one site: {sites}; ask for it with its site")]
    Ambiguous {
        /// The scan or the egg.
        what: String,
        /// The sites, or some of them.
        sites: String,
    },
    /// The disk or the database does not work now. What was sent was not stored; it may be sent again.
    #[error("the store in {store} does not work now: {reason}; try again")]
    Unavailable {
        /// Folder or contact point.
        store: String,
        /// What the system said.
        reason: String,
    },
    /// Somebody else has the store.
    #[error("the store in {store} is open in another process; stop that one, or give --data another folder")]
    Taken { store: String },
    /// What is stored cannot be read.
    #[error("the store in {store} is damaged: {reason}")]
    Damaged {
        /// Folder or contact point.
        store: String,
        /// Which record, and what is wrong with it.
        reason: String,
    },
}

impl StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_) => Fault::Invalid,
            Self::Ambiguous { .. } => Fault::OutOfOrder,
            Self::Unavailable { .. } | Self::Taken { .. } => Fault::Unavailable,
            Self::Damaged { .. } => Fault::Damaged,
        }
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        error.fault().status(error.to_string())
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        error.fault().stage_error(error.to_string())
    }
}
