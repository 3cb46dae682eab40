//! How files are read: what of them, how much, and who decodes compressed samples.

use dicom_core::Tag;

use super::{
    Series,
    collect::Collected,
    decode::{Decode, Here},
    image::Image,
    inspect::{ImageInfo, Unusable},
    limits::Limits,
};

/// Reads files that are in memory.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub(super) wanted: &'a [Tag],
    pub(super) limits: Limits,
    pub(super) decoder: &'a dyn Decode,
}

impl<'a> Reader<'a> {
    /// One that keeps the `wanted` attributes, takes volumes of any possible size, and decodes in this process.
    pub fn new(wanted: &'a [Tag]) -> Self {
        Self { wanted, limits: Limits::default(), decoder: &Here }
    }

    /// The same within other limits.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same with another decoder.
    #[must_use]
    pub fn decoding_by(self, decoder: &'a dyn Decode) -> Self {
        Self { decoder, ..self }
    }

    /// Reads an image whole, so that what is wrong with it is known now; its samples are not kept.
    pub fn inspect(&self, file: &str, bytes: &[u8]) -> Result<ImageInfo, Unusable> {
        Image::read(file, bytes, self).map(ImageInfo::from)
    }

    /// Reads files with their names, and puts those of one series together, in the order in which series first appear. A
    /// series with a file that cannot be used is an error as a whole: a scan without one of its slices would be another
    /// egg. A file whose series cannot be read is an error of its own. Whether a series has all its images says
    /// [`Series::must_be_whole`].
    pub fn read<'f>(
        &self,
        files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    ) -> Vec<Result<Series, Unusable>> {
        let mut collected = Collected::new(*self);
        for (file, bytes) in files {
            collected.add(file, bytes);
        }
        collected.finish()
    }
}
