//! One DICOM file: who made it of what, and its frames with their places in space.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::{
    Device,
    acquired::Acquired,
    acquisition::Acquisition,
    attribute::{Attributes, Scope, refuse},
    contrast::Contrast,
    guard::{self, Sound},
    identity::Identity,
    inspect::{ImageHeader, Unusable},
    pixels::{Pixels, describe},
    reader::Reader,
};
use crate::error::Error;

/// One file.
pub(super) struct Image {
    pub(super) source: Source,
    /// How many files the whole series has, if it says so.
    pub(super) expected: Option<usize>,
    /// The acquisition that the count is of, when it may be of several series.
    pub(super) acquisition: Option<Acquisition>,
    pub(super) frames: Vec<Frame>,
    pub(super) notes: Vec<String>,
}

/// Who made a file of what.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) header: ImageHeader,
    /// Whose it is.
    pub(super) identity: Identity,
    pub(super) device: Device,
}

/// One slice. Lengths are in millimetres, directions in the patient's frame.
pub(super) struct Frame {
    /// The file that it was read from.
    pub(super) file: String,
    /// What it shows beside where it lies.
    pub(super) contrast: Contrast,
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Along x (from column to column) and y.
    pub(super) spacing_mm: [f64; 2],
    /// Centre of the first sample.
    pub(super) position_mm: [f64; 3],
    /// Direction of x, then of y.
    pub(super) orientation: [f64; 6],
    /// Slope and intercept.
    pub(super) rescale: [f64; 2],
    /// Stored value = sample - shift.
    pub(super) shift: i32,
    pub(super) samples: Vec<u16>,
}

impl Image {
    /// Reads a file. `file` is its name for errors.
    pub(super) fn read(file: &str, bytes: &[u8], reader: &Reader<'_>) -> Result<Self, Unusable> {
        let Reader { wanted, limits, .. } = *reader;
        let guard::Checked { series, sound, header } = guard::check(file, bytes, wanted, limits);
        let series = series.map(String::into_boxed_str);
        let unusable = |source: Option<Source>, error| {
            let header = source.map(|source| Box::new(source.header));
            Unusable { series: series.clone(), header, error }
        };
        match sound {
            Ok(sound) => {
                let object = parse(file, &sound).map_err(|error| unusable(None, error))?;
                let source = Source::read(file, &object, wanted).map_err(|error| unusable(None, error))?;
                match read_frames(file, bytes, &sound, &object, reader) {
                    Ok((frames, note)) => Ok(Self::new(source, &Scope::file(file, &object), frames, note)),
                    Err(error) => Err(unusable(Some(source), error)),
                }
            }
            Err(error) => {
                let read = |sound: Sound<'_>| Source::read(file, &parse(file, &sound).ok()?, wanted).ok();
                Err(unusable(header.and_then(read), error))
            }
        }
    }

    fn new(source: Source, scope: &Scope<'_>, frames: Vec<Frame>, note: Option<String>) -> Self {
        let expected = expected(scope, frames.len());
        let acquisition = match (expected, &frames[..]) {
            (Some(stated), [only]) => Some(Acquisition::of(&source.identity, stated, &only.contrast)),
            _ => None,
        };
        Self { source, expected, acquisition, frames, notes: note.into_iter().collect() }
    }

    /// Bytes of its samples.
    pub(super) fn sample_bytes(&self) -> usize {
        self.frames.iter().map(|frame| size_of_val(&frame.samples[..])).sum()
    }

    /// Differs between images that differ in what a scan is made of, however they are encoded.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = DefaultHasher::new();
        (&self.source.header.series, &self.source.identity, self.expected).hash(&mut digest);
        for frame in &self.frames {
            let numbers = frame.spacing_mm.iter().chain(&frame.position_mm).chain(&frame.orientation);
            numbers.chain(&frame.rescale).for_each(|number| number.to_bits().hash(&mut digest));
            (frame.columns, frame.rows, frame.shift, &frame.samples).hash(&mut digest);
        }
        digest.finish()
    }
}

impl Source {
    fn read(file: &str, object: &InMemDicomObject, wanted: &[Tag]) -> Result<Self, Error> {
        let scope = Scope::file(file, object);
        check_modality(&scope)?;
        let series = scope.text(tags::SERIES_INSTANCE_UID);
        let series = scope.required(
            tags::SERIES_INSTANCE_UID,
            series,
            "it names the scan that an image belongs to",
        )?;
        let header = ImageHeader {
            series,
            instance: scope.text(tags::SOP_INSTANCE_UID).unwrap_or_default(),
            acquired: Acquired::read(&scope),
            attributes: Attributes::read(object, wanted),
        };
        Ok(Self { header, identity: Identity::read(&scope), device: Device::read(&scope) })
    }
}

/// The frames of a file, and what was assumed to place them.
fn read_frames(
    file: &str,
    bytes: &[u8],
    sound: &Sound<'_>,
    object: &InMemDicomObject,
    reader: &Reader<'_>,
) -> Result<(Vec<Frame>, Option<String>), Error> {
    let Pixels { columns, rows, samples, shift } = Pixels::decode(file, bytes, sound, object, reader)?;
    let count = samples.len() / (columns * rows);
    let places = Places::read(&Scope::file(file, object), object, count)?;
    let mut frames = Vec::with_capacity(count);
    for (i, samples) in samples.chunks_exact(columns * rows).enumerate() {
        frames.push(places.frame(i, Frame::blank(file, columns, rows, shift, samples))?);
    }
    Ok((frames, places.note))
}

/// The data set of a file whose structure is sound.
fn parse(file: &str, sound: &Sound<'_>) -> Result<InMemDicomObject, Error> {
    sound.parsed().map_err(|e| Error::NotDicom { file: file.to_owned(), detail: describe(&e) })
}

impl Frame {
    fn blank(file: &str, columns: usize, rows: usize, shift: i32, samples: &[u16]) -> Self {
        Self {
            file: file.to_owned(),
            contrast: Contrast::default(),
            columns,
            rows,
            spacing_mm: [0.0; 2],
            position_mm: [0.0; 3],
            orientation: [0.0; 6],
            rescale: [1.0, 0.0],
            shift,
            samples: samples.to_vec(),
        }
    }
}

/// How many files the series has: one with several frames has all of them, unless it is part of a concatenation.
fn expected(scope: &Scope<'_>, count: usize) -> Option<usize> {
    let whole =
        |tag| scope.number(tag).ok().flatten().filter(|n| (1.0..=1e5).contains(n)).map(|n| n as usize);
    let single = || if count > 1 { Some(1) } else { whole(tags::IMAGES_IN_ACQUISITION) };
    whole(tags::IN_CONCATENATION_TOTAL_NUMBER).or_else(single)
}

fn check_modality(scope: &Scope<'_>) -> Result<(), Error> {
    let mr = [
        uids::MR_IMAGE_STORAGE,
        uids::ENHANCED_MR_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE,
    ];
    let class = scope.text(tags::SOP_CLASS_UID).unwrap_or_default();
    match scope.text(tags::MODALITY) {
        Some(modality) if modality == "MR" => Ok(()),
        None if mr.contains(&class.as_str()) => Ok(()),
        modality => {
            let modality = modality.unwrap_or_else(|| "missing".to_owned());
            Err(refuse(
                scope.file,
                tags::MODALITY,
                modality,
                "only MR is possible: send the MRI scanner's images",
            ))
        }
    }
}

/// Where the frames of a file lie.
struct Places<'a> {
    /// One scope a frame.
    scopes: Vec<Scope<'a>>,
    /// Millimetres from frame to frame along the normal, where only the first has a position.
    step_mm: f64,
    note: Option<String>,
}

impl<'a> Places<'a> {
    fn read(scope: &Scope<'a>, object: &'a InMemDicomObject, count: usize) -> Result<Self, Error> {
        let groups = object
            .get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
            .and_then(|e| e.items())
            .unwrap_or_default();
        if groups.is_empty() {
            return Self::plain(scope, count);
        }
        if groups.len() != count {
            let advice = format!("there are {count} frames, each needs one item");
            let tag = tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE;
            return Err(refuse(scope.file, tag, format!("{} items", groups.len()), advice));
        }
        let shared = object.get(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).and_then(|e| e.items());
        let shared = shared.and_then(|items| items.first());
        let of = |group: &'a InMemDicomObject| {
            let objects = std::iter::once(group).chain(shared).chain(std::iter::once(object)).collect();
            Scope { file: scope.file, objects }
        };
        Ok(Self { scopes: groups.iter().map(of).collect(), step_mm: 0.0, note: None })
    }

    /// A file without functional groups: one frame, or several one after another along the normal.
    fn plain(scope: &Scope<'a>, count: usize) -> Result<Self, Error> {
        let scopes = vec![scope.clone(); count];
        if count == 1 {
            return Ok(Self { scopes, step_mm: 0.0, note: None });
        }
        let tag = tags::SPACING_BETWEEN_SLICES;
        let advice = "the frames have no positions of their own: send Enhanced MR, or single images";
        let step_mm = scope.required(tag, scope.number(tag)?, advice)?;
        let note = format!("{}: the frames are taken to follow one another along the normal", scope.file);
        Ok(Self { scopes, step_mm, note: Some(note) })
    }

    fn frame(&self, index: usize, frame: Frame) -> Result<Frame, Error> {
        let scope = &self.scopes[index];
        let sides = "without it left and right cannot be distinguished";
        let within = |sequence| scope.within(sequence);
        let orientation =
            within(tags::PLANE_ORIENTATION_SEQUENCE).numbers::<6>(tags::IMAGE_ORIENTATION_PATIENT)?;
        let orientation = scope.required(tags::IMAGE_ORIENTATION_PATIENT, orientation, sides)?;
        let position = within(tags::PLANE_POSITION_SEQUENCE).numbers::<3>(tags::IMAGE_POSITION_PATIENT)?;
        let position = scope.required(tags::IMAGE_POSITION_PATIENT, position, sides)?;
        let spacing = within(tags::PIXEL_MEASURES_SEQUENCE).numbers::<2>(tags::PIXEL_SPACING)?;
        // Stated as the distance of rows, then of columns.
        let [y, x] = scope.required(tags::PIXEL_SPACING, spacing, "it gives the size of a pixel")?;
        let values = within(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
        let slope = values.number(tags::RESCALE_SLOPE)?.unwrap_or(1.0);
        if slope <= 0.0 {
            return Err(refuse(scope.file, tags::RESCALE_SLOPE, slope, "a number above 0 is needed"));
        }
        let intercept = values.number(tags::RESCALE_INTERCEPT)?.unwrap_or(0.0);
        let normal = normal(scope, &orientation)?;
        let off = self.step_mm * index as f64;
        Ok(Frame {
            contrast: Contrast::read(scope),
            spacing_mm: [x, y],
            position_mm: [0, 1, 2].map(|i| position[i] + off * normal[i]),
            orientation,
            rescale: [slope, intercept],
            ..frame
        })
    }
}

/// The direction from slice to slice: x, y and it are right-handed.
fn normal(scope: &Scope<'_>, orientation: &[f64; 6]) -> Result<[f64; 3], Error> {
    let (x, y) = (&orientation[..3], &orientation[3..]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // Directions are written with six digits at least.
    const TOLERANCE: f64 = 1e-3;
    if (dot(x, x) - 1.0).abs() > TOLERANCE
        || (dot(y, y) - 1.0).abs() > TOLERANCE
        || dot(x, y).abs() > TOLERANCE
    {
        let advice = "two directions of length 1 at right angles are needed";
        return Err(refuse(scope.file, tags::IMAGE_ORIENTATION_PATIENT, format!("{orientation:?}"), advice));
    }
    Ok(cross(x, y))
}

pub(super) fn cross(x: &[f64], y: &[f64]) -> [f64; 3] {
    [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
}
