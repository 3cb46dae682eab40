//! DICOM in and out: files become series, a series becomes a right-handed volume.
//!
//! Single images, multi-frame and Enhanced MR; native, RLE, JPEG, JPEG 2000 and deflated. JPEG-LS is not
//! supported.

mod acquired;
mod acquisition;
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
    acquisition::{Acquisition, is_whole_acquisition},
    attribute::{Attributes, tag},
    inspect::{ImageHeader, ImageInfo, Unusable, inspect},
    write::{Label, series_uid, write_enhanced, write_series},
};
use self::{
    attribute::{Scope, name},
    image::{Frame, Image, Source},
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

/// Reads files and puts those of one series together, in the order in which series first appear. A series
/// with a file that cannot be used is an error as a whole: a scan without one of its slices would be another
/// egg. A file whose series cannot be read is an error of its own. `wanted`: attributes that are kept. Whether a series
/// has all its images says [`Series::must_be_whole`].
pub fn read_files<P: AsRef<Path>>(paths: &[P], wanted: &[Tag]) -> Vec<Result<Series, Unusable>> {
    let mut collected = Collected::new(wanted);
    for path in paths {
        let file = path.as_ref().display().to_string();
        match fs::metadata(path)
            .and_then(|m| if m.len() > guard::MAX_BYTES as u64 { Ok(None) } else { fs::read(path).map(Some) })
        {
            Ok(Some(bytes)) => collected.add(&file, &bytes),
            Ok(None) => {
                let detail = format!("it has more than {} bytes", guard::MAX_BYTES);
                collected.add_unusable(Unusable::of_no_series(Error::NotDicom { file, detail }));
            }
            Err(e) => {
                collected.add_unusable(Unusable::of_no_series(Error::Io { file, detail: e.to_string() }));
            }
        }
    }
    collected.finish()
}

/// As [`read_files`], of files in memory with their names.
pub fn read<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    wanted: &[Tag],
) -> Vec<Result<Series, Unusable>> {
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

/// The images of one series, or one file whose series cannot be read.
#[derive(Default)]
struct Entry {
    images: Vec<(String, Image)>,
    /// The first one that cannot be used.
    unusable: Option<Unusable>,
}

impl<'w> Collected<'w> {
    fn new(wanted: &'w [Tag]) -> Self {
        Self { wanted, entries: Vec::new(), by_series: HashMap::new() }
    }

    fn add(&mut self, file: &str, bytes: &[u8]) {
        match Image::read(file, bytes, self.wanted) {
            Ok(image) => self.entry(Some(&image.source.header.series)).images.push((file.to_owned(), image)),
            Err(unusable) => self.add_unusable(unusable),
        }
    }

    fn add_unusable(&mut self, unusable: Unusable) {
        self.entry(unusable.series.as_deref()).unusable.get_or_insert(unusable);
    }

    fn entry(&mut self, series: Option<&str>) -> &mut Entry {
        let next = self.entries.len();
        let index = match series {
            Some(uid) => *self.by_series.entry(uid.to_owned()).or_insert(next),
            None => next,
        };
        if index == next {
            self.entries.push(Entry::default());
        }
        &mut self.entries[index]
    }

    fn finish(self) -> Vec<Result<Series, Unusable>> {
        let parts: Vec<_> = self.entries.iter().map(Entry::part).collect();
        let is_whole = |i: usize| {
            let others = parts.iter().enumerate().filter(|&(j, _)| j != i).filter_map(|(_, part)| *part);
            parts[i].is_some_and(|part| is_whole_acquisition(part, others))
        };
        let are_whole: Vec<bool> = (0..parts.len()).map(is_whole).collect();
        self.entries
            .into_iter()
            .zip(are_whole)
            .filter_map(|(entry, is_whole)| entry.finish(is_whole))
            .collect()
    }
}

impl Entry {
    /// What it may be a part of.
    fn part(&self) -> Option<(&Acquisition, usize)> {
        let acquisition = self.images.iter().find_map(|(_, image)| image.acquisition.as_ref())?;
        Some((acquisition, self.images.len()))
    }

    /// `is_whole`: the count that its images state is of several series, and it has its part of them. Nothing when it
    /// holds nothing.
    fn finish(self, is_whole: bool) -> Option<Result<Series, Unusable>> {
        let Some((_, first)) = self.images.first() else { return self.unusable.map(Err) };
        let source = first.source.clone();
        let made = match self.unusable {
            Some(unusable) => Err(unusable.error),
            None => series(self.images, &source),
        };
        Some(match made {
            Ok(series) => Ok(Series { stated: series.stated.filter(|_| !is_whole), ..series }),
            // An image that can be used says best whose it is.
            Err(error) => {
                let series = Some(source.header.series.as_str().into());
                Err(Unusable { series, header: Some(Box::new(source.header)), error })
            }
        })
    }
}

/// The series that images make; `source` is that of the first.
fn series(images: Vec<(String, Image)>, source: &Source) -> Result<Series, Error> {
    check_identity(&images)?;
    let (mut frames, mut files, mut notes): (Vec<Frame>, Vec<String>, Vec<String>) = Default::default();
    let (mut acquired, mut stated) = (None::<Acquired>, None);
    for (file, image) in images {
        files.push(file);
        frames.extend(image.frames);
        notes.extend(image.notes);
        stated = stated.max(image.expected);
        // The last slice's time is when the acquisition ended.
        acquired = match (acquired, image.source.header.acquired) {
            (Some(a), Some(b)) if b.local <= a.local => Some(a),
            (a, b) => b.or(a),
        };
    }
    let Source { header, identity, device } = source.clone();
    let (uid, images) = (header.series, frames.len());
    let Stack { volume, axes, notes: more } = stack::stack(&uid, frames)?;
    notes.extend(more);
    let (egg_id, attributes) = (identity.egg_id().map(str::to_owned), header.attributes);
    Ok(Series { volume, axes, uid, egg_id, acquired, device, attributes, files, images, stated, notes })
}

/// All images of a series must be of the same egg.
fn check_identity(images: &[(String, Image)]) -> Result<(), Error> {
    let Some((first_file, first)) = images.first() else { return Ok(()) };
    for (file, image) in images {
        if let Some(difference) = first.source.identity.difference(&image.source.identity) {
            let problem = format!(
                "{difference} in {first_file} and {file}: images of several eggs have one SeriesInstanceUID; \
                 send each egg as a series of its own"
            );
            return Err(Error::Series { series: first.source.header.series.clone(), problem });
        }
    }
    Ok(())
}
