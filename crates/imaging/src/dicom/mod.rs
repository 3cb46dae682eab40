//! DICOM in and out: files become series, a series becomes a right-handed volume.
//!
//! Single images, multi-frame and Enhanced MR; native, RLE, JPEG, JPEG 2000 and deflated. JPEG-LS is not
//! supported.

mod acquired;
mod acquisition;
mod attribute;
mod codestream;
mod collect;
mod contrast;
mod decode;
mod guard;
mod identity;
mod image;
mod inspect;
mod known;
mod limits;
mod pixels;
mod reader;
mod stack;
mod walk;
mod write;

use std::{fs, path::Path};

use dicom_core::Tag;
use dicom_dictionary_std::tags;

pub use self::{
    acquired::Acquired,
    acquisition::{Acquisition, is_whole_acquisition},
    attribute::{Attributes, tag},
    decode::{Decode, decode_samples},
    guard::most_sample_bytes,
    inspect::{ImageHeader, ImageInfo, Unusable, inspect},
    limits::Limits,
    reader::Reader,
    write::{Label, series_uid, write_enhanced, write_series},
};
use self::{
    attribute::{Scope, name},
    collect::Collected,
};
use crate::{error::Error, turn::ImageAxis, volume::Volume};

/// One scan, from one or more files.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The image as it was taken, right-handed.
    pub volume: Volume,
    /// Its axes that run along x, y and z of the patient's frame, to the nearest quarter turn, by
    /// ImageOrientationPatient. [`Volume::turned`] brings it there.
    pub axes: [ImageAxis; 3],
    /// SeriesInstanceUID: the scan's id.
    pub uid: String,
    /// PatientID: the egg's id, as it is written; empty ones are absent.
    pub egg_id: Option<String>,
    /// When it was acquired, if the files say so.
    pub acquired: Option<Acquired>,
    /// What it was acquired with.
    pub device: Device,
    /// Of its first image, those attributes that were asked for.
    pub attributes: Attributes,
    /// Names of the files that it is made of.
    pub files: Vec<String>,
    /// Its images, each frame counted.
    pub images: usize,
    /// How many files it has, if they say so.
    pub stated: Option<usize>,
    /// What was assumed or left out to make it, for people.
    pub notes: Vec<String>,
}

impl Series {
    /// Checks that no image is missing. `images`: how many it has, where that is known better than by its files.
    ///
    /// # Errors
    /// It has fewer images than that, or else fewer files than they state.
    pub fn must_be_whole(&self, images: Option<usize>) -> Result<(), Error> {
        let problem = match (images, self.stated) {
            (Some(images), _) if self.images < images => {
                format!("it has {} of the {images} images that its line has; send all", self.images)
            }
            (None, Some(stated)) if self.files.len() < stated => {
                let count = name(tags::IMAGES_IN_ACQUISITION);
                format!("it has {} of the {stated} images that {count} states; send all", self.files.len())
            }
            _ => return Ok(()),
        };
        Err(Error::Series { series: self.uid.clone(), problem })
    }
}

/// What a scan was acquired with; empty where the file does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Manufacturer.
    pub manufacturer: String,
    /// ManufacturerModelName.
    pub model: String,
    /// DeviceSerialNumber.
    pub serial: String,
    /// SoftwareVersions.
    pub software: String,
    /// StationName.
    pub station: String,
}

impl Device {
    fn read(scope: &Scope<'_>) -> Self {
        let text = |tag| scope.text(tag).unwrap_or_default();
        Self {
            manufacturer: text(tags::MANUFACTURER),
            model: text(tags::MANUFACTURER_MODEL_NAME),
            serial: text(tags::DEVICE_SERIAL_NUMBER),
            software: text(tags::SOFTWARE_VERSIONS),
            station: text(tags::STATION_NAME),
        }
    }
}

/// As [`Reader::read`], of files on disk and within the default limits.
pub fn read_files<P: AsRef<Path>>(paths: &[P], wanted: &[Tag]) -> Vec<Result<Series, Unusable>> {
    let reader = Reader::new(wanted);
    let most = reader.limits.file_bytes();
    let mut collected = Collected::new(reader);
    for path in paths {
        let file = path.as_ref().display().to_string();
        match fs::metadata(path)
            .and_then(|m| if m.len() > most as u64 { Ok(None) } else { fs::read(path).map(Some) })
        {
            Ok(Some(bytes)) => collected.add(&file, &bytes),
            Ok(None) => {
                let detail = format!("it has more than {most} bytes");
                collected.add_unusable(Unusable::of_no_series(Error::NotDicom { file, detail }));
            }
            Err(e) => {
                collected.add_unusable(Unusable::of_no_series(Error::Io { file, detail: e.to_string() }));
            }
        }
    }
    collected.finish()
}

/// As [`Reader::read`], within the default limits.
pub fn read<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    wanted: &[Tag],
) -> Vec<Result<Series, Unusable>> {
    Reader::new(wanted).read(files)
}
