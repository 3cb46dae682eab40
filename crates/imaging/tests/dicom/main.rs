//! DICOM in: what comes out is the volume that went in, or an error that says what to do.

mod bad;
mod formats;
mod series;
mod support;
