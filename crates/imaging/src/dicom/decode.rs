//! Compressed samples. Their decoders make room for what a stranger's bytes state, and panic at damaged ones, so a program
//! that must not grow has them run in a process of their own: it gives [`decode_samples`] to that process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_object::FileMetaTableBuilder;
use dicom_pixeldata::PixelDecoder as _;

use super::{guard, limits::Limits, pixels::describe};

/// Decodes the compressed samples of files.
pub trait Decode: Sync {
    /// All samples of a file, frame after frame, as little endian words or as bytes, or why there are none.
    fn decode(&self, file: &[u8], limits: Limits) -> Result<Vec<u8>, String>;
}

/// The decoders of this process.
pub struct Here;

impl Decode for Here {
    fn decode(&self, file: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
        decode_samples(file, limits)
    }
}

/// Decodes the compressed samples of a file in this process.
pub fn decode_samples(file: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
    let sound = guard::check("", file, &[], limits).sound.map_err(|error| error.to_string())?;
    let object = sound.parsed().map_err(|error| describe(&error))?;
    // What the samples are follows from their transfer syntax alone.
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(&sound.syntax)
        .media_storage_sop_class_uid("")
        .media_storage_sop_instance_uid("");
    let object = object.with_meta(meta).map_err(|error| describe(&error))?;
    let decoded =
        catch_unwind(AssertUnwindSafe(|| object.decode_pixel_data().map(|decoded| decoded.data().to_vec())));
    let decoded = decoded.map_err(|_| "the decoder gave up on them; they are damaged".to_owned())?;
    decoded.map_err(|error| describe(&error))
}
