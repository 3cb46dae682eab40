//! From DICOM images to scans: whose line they are, and what their attributes say of egg, tray and slot, by the line's
//! configuration. Used by the agent, for images that arrive by DICOM or as files, and by `ovomesh send`. No I/O.

mod error;
mod intake;
mod wire;

pub use error::Error;
pub use intake::{ImageOrigin, Intake};
pub use wire::{acquired_at, volume, wire};
