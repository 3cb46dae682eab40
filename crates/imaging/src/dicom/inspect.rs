//! What one image says of its series before all images of the series have arrived.

use dicom_core::Tag;

use super::{
    acquired::Acquired,
    attribute::Attributes,
    image::{Image, Refused},
};
use crate::error::Error;

/// The header of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInfo {
    /// SeriesInstanceUID.
    pub series: String,
    /// SOPInstanceUID, empty where there is none.
    pub instance: String,
    /// Slices in this image: 1, or more in a multi-frame one.
    pub frames: usize,
    /// Files of the whole series, if it says so: ImagesInAcquisition, or 1 when it has several slices itself.
    pub expected: Option<usize>,
    /// When it was acquired, if it says so.
    pub acquired: Option<Acquired>,
    /// The attributes that were asked for.
    pub attributes: Attributes,
}

/// An image that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    /// SeriesInstanceUID, if it can be read.
    pub series: Option<String>,
    /// What is wrong with it, and what to do.
    pub error: Error,
}

/// Reads an image whole, so that what is wrong with it is known now; its samples are not kept.
pub fn inspect(file: &str, bytes: &[u8], wanted: &[Tag]) -> Result<ImageInfo, Unusable> {
    match Image::read(file, bytes, wanted) {
        Ok(Image { series, instance, expected, acquired, attributes, frames, .. }) => {
            Ok(ImageInfo { series, instance, frames: frames.len(), expected, acquired, attributes })
        }
        Err(Refused { series, error }) => Err(Unusable { series, error }),
    }
}
