//! Why no scan can be made.

use ovomesh_api::Invalid;
use ovomesh_api::line::{LineBookError, NoLine};

/// Why no scan can be made. Messages say what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used for images.
    #[error(transparent)]
    Lines(#[from] LineBookError),
    /// The configuration names an attribute that does not exist.
    #[error(
        "line configuration: there is no DICOM attribute {0:?}; write its keyword, such as PatientID, or (gggg,eeee)"
    )]
    Attribute(String),
    /// Nobody's images.
    #[error(transparent)]
    NoLine(#[from] NoLine),
    /// An image that cannot be turned into the anatomy's frame.
    #[error(transparent)]
    Image(#[from] ovomesh_imaging::Error),
    /// A field that breaks the contract.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
