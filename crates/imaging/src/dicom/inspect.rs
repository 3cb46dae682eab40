//! What one image says of its series before all images of the series have arrived.

use dicom_core::Tag;

use super::{
    acquired::Acquired, acquisition::Acquisition, attribute::Attributes, image::Image, reader::Reader,
};
use crate::error::Error;

/// What an image says of itself and its series.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageHeader {
    /// SeriesInstanceUID.
    pub series: String,
    /// SOPInstanceUID, empty where there is none.
    pub instance: String,
    /// When it was acquired, if it says so.
    pub acquired: Option<Acquired>,
    /// The attributes that were asked for.
    pub attributes: Attributes,
}

/// An image that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInfo {
    /// What it says of itself.
    pub header: ImageHeader,
    /// Slices in this image: 1, or more in a multi-frame one.
    pub frames: usize,
    /// Bytes of its samples in memory.
    pub sample_bytes: usize,
    /// Files of the whole series, if it says so: ImagesInAcquisition, or 1 when it has several slices itself.
    pub expected: Option<usize>,
    /// What it states of its acquisition, which may have several series.
    pub acquisition: Option<Acquisition>,
    /// Differs between images that differ in what a scan is made of. The same in one run of the program only.
    pub digest: u64,
}

/// An image, or a series, that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    /// SeriesInstanceUID, if it can be read.
    pub series: Option<Box<str>>,
    /// Whose it is, if that can be read.
    pub header: Option<Box<ImageHeader>>,
    /// What is wrong with it, and what to do.
    pub error: Error,
}

impl Unusable {
    /// Nothing says whose it is.
    pub(super) fn of_no_series(error: Error) -> Self {
        Self { series: None, header: None, error }
    }
}

impl From<Image> for ImageInfo {
    fn from(image: Image) -> Self {
        let (digest, frames, sample_bytes) = (image.digest(), image.frames.len(), image.sample_bytes());
        let Image { source, expected, acquisition, .. } = image;
        Self { header: source.header, frames, sample_bytes, expected, acquisition, digest }
    }
}

/// As [`Reader::inspect`], within the default limits.
pub fn inspect(file: &str, bytes: &[u8], wanted: &[Tag]) -> Result<ImageInfo, Unusable> {
    Reader::new(wanted).inspect(file, bytes)
}
