//! DICOM in and out: files become series, a series becomes a right-handed volume.
//!
//! Single images, multi-frame and Enhanced MR; native, RLE, JPEG, JPEG 2000 and deflated. JPEG-LS is not
//! supported.

mod acquired;
mod attribute;
mod codestream;
mod contrast;
mod guard;
mod identity;
mod image;
mod inspect;
mod known;
mod pixels;
mod stack;
mod write;

use std::{collections::HashMap, fs, path::Path};

use dicom_core::Tag;
use dicom_dictionary_std::tags;

pub use self::{
    acquired::Acquired,
    attribute::{Attributes, tag},
    inspect::{ImageInfo, Unusable, inspect},
    write::{Label, series_uid, write_enhanced, write_series},
};
use self::{
    attribute::{Scope, name},
    image::{Frame, Image},
    stack::Stack,
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
    /// What was assumed or left out to make it, for people.
    pub notes: Vec<String>,
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

/// Reads files and puts those of one series together, in the order in which series first appear. A series
/// with a file that cannot be used is an error as a whole: a scan without one of its slices would be another
/// egg. A file whose series cannot be read is an error of its own. `wanted`: attributes that are kept.
pub fn read_files<P: AsRef<Path>>(paths: &[P], wanted: &[Tag]) -> Vec<Result<Series, Error>> {
    let mut collected = Collected::new(wanted);
    for path in paths {
        let file = path.as_ref().display().to_string();
        match fs::metadata(path)
            .and_then(|m| if m.len() > guard::MAX_BYTES as u64 { Ok(None) } else { fs::read(path).map(Some) })
        {
            Ok(Some(bytes)) => collected.add(&file, &bytes),
            Ok(None) => {
                let detail = format!("it has more than {} bytes", guard::MAX_BYTES);
                collected.add_error(None, Error::NotDicom { file, detail });
            }
            Err(e) => collected.add_error(None, Error::Io { file, detail: e.to_string() }),
        }
    }
    collected.finish()
}

/// As [`read_files`], of files in memory with their names.
pub fn read<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    wanted: &[Tag],
) -> Vec<Result<Series, Error>> {
    let mut collected = Collected::new(wanted);
    for (file, bytes) in files {
        collected.add(file, bytes);
    }
    collected.finish()
}

/// Images by series.
struct Collected<'w> {
    wanted: &'w [Tag],
    entries: Vec<Entry>,
    by_series: HashMap<String, usize>,
}

#[derive(Default)]
struct Entry {
    images: Vec<(String, Image)>,
    error: Option<Error>,
}

impl<'w> Collected<'w> {
    fn new(wanted: &'w [Tag]) -> Self {
        Self { wanted, entries: Vec::new(), by_series: HashMap::new() }
    }

    fn add(&mut self, file: &str, bytes: &[u8]) {
        match Image::read(file, bytes, self.wanted) {
            Ok(image) => {
                let index = self.entry(Some(image.series.clone()));
                self.entries[index].images.push((file.to_owned(), image));
            }
            Err(refused) => self.add_error(refused.series, refused.error),
        }
    }

    fn add_error(&mut self, series: Option<String>, error: Error) {
        let index = self.entry(series);
        self.entries[index].error.get_or_insert(error);
    }

    fn entry(&mut self, series: Option<String>) -> usize {
        let next = self.entries.len();
        let index = match series {
            Some(uid) => *self.by_series.entry(uid).or_insert(next),
            None => next,
        };
        if index == next {
            self.entries.push(Entry::default());
        }
        index
    }

    fn finish(self) -> Vec<Result<Series, Error>> {
        self.entries.into_iter().map(Entry::finish).collect()
    }
}

impl Entry {
    fn finish(self) -> Result<Series, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        check_identity(&self.images)?;
        let (mut frames, mut files, mut notes): (Vec<Frame>, Vec<String>, Vec<String>) = Default::default();
        let (mut acquired, mut expected) = (None::<Acquired>, None);
        let mut first = None;
        for (file, image) in self.images {
            files.push(file);
            frames.extend(image.frames);
            notes.extend(image.notes);
            expected = expected.max(image.expected);
            // The last slice's time is when the acquisition ended.
            acquired = match (acquired, image.acquired) {
                (Some(a), Some(b)) if b.local <= a.local => Some(a),
                (a, b) => b.or(a),
            };
            first.get_or_insert((image.series, image.identity, image.device, image.attributes));
        }
        let (uid, identity, device, attributes) = first.unwrap_or_default();
        let Stack { volume, axes, notes: more } = stack::stack(&uid, frames)?;
        notes.extend(more);
        let egg_id = identity.egg_id().map(str::to_owned);
        match expected {
            Some(expected) if files.len() < expected => {
                let stated = name(tags::IMAGES_IN_ACQUISITION);
                let problem =
                    format!("it has {} of the {expected} images that {stated} states; send all", files.len());
                Err(Error::Series { series: uid, problem })
            }
            _ => Ok(Series { volume, axes, uid, egg_id, acquired, device, attributes, files, notes }),
        }
    }
}

/// All images of a series must be of the same egg.
fn check_identity(images: &[(String, Image)]) -> Result<(), Error> {
    let Some((first_file, first)) = images.first() else { return Ok(()) };
    for (file, image) in images {
        if let Some(difference) = first.identity.difference(&image.identity) {
            let problem = format!(
                "{difference} in {first_file} and {file}: images of several eggs have one SeriesInstanceUID; \
                 send each egg as a series of its own"
            );
            return Err(Error::Series { series: first.series.clone(), problem });
        }
    }
    Ok(())
}
