//! Samples of a DICOM image as numbers.

use std::{borrow::Cow, ops::RangeInclusive};

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::{
    attribute::{Scope, refuse},
    codestream,
    guard::Sound,
    reader::Reader,
};
use crate::{error::Error, volume::IN_PLANE};

/// Most frames of one file: several echoes or repetitions of a volume with 512 slices.
const MAX_FRAMES: usize = 4096;
/// Most samples of one file.
const MAX_SAMPLES: usize = 512 * 512 * 512;
/// What signed samples are shifted by, so that all fit a u16.
const SIGNED: i32 = 32_768;

/// The samples of a file's frames, and how they are to be read.
pub(super) struct Pixels {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Frame after frame, each `columns * rows` long.
    pub(super) samples: Vec<u16>,
    /// Stored value = sample - shift.
    pub(super) shift: i32,
}

/// How samples are stored.
struct Format {
    columns: usize,
    rows: usize,
    frames: usize,
    bytes: usize,
    stored_bits: u32,
    high_bit: u32,
    signed: bool,
    inverted: bool,
    /// Stored values that stand for "outside of the field of view".
    padding: Option<RangeInclusive<i32>>,
}

impl Pixels {
    /// Decodes all frames of a file. Everything that the decoder relies on is checked first.
    pub(super) fn decode(
        file: &str,
        bytes: &[u8],
        sound: &Sound<'_>,
        object: &InMemDicomObject,
        reader: &Reader<'_>,
    ) -> Result<Self, Error> {
        let format = Format::read(&Scope::file(file, object))?;
        let error =
            |detail: String| Error::Pixels { file: file.to_owned(), syntax: sound.syntax.clone(), detail };
        let (needed, most) = (format.bytes_of_frames(), reader.limits.file_bytes());
        if needed > most {
            return Err(error(format!("they have {needed} bytes, at most {most} are possible")));
        }
        let decoded = match (sound.native(), object.get(tags::PIXEL_DATA)) {
            (Some(native), _) if sound.is_native() => native.little_endian(),
            (None, Some(samples)) => {
                let fragments = samples.fragments().unwrap_or_default();
                let mut sizes = fragments.iter().filter_map(|fragment| codestream::size(fragment));
                if let Some([columns, rows]) = sizes.find(|size| *size != [format.columns, format.rows]) {
                    let (of_x, of_y) = (format.columns, format.rows);
                    let detail = format!("a frame says it is {columns}x{rows}, the file says {of_x}x{of_y}");
                    return Err(error(detail));
                }
                Cow::Owned(reader.decoder.decode(bytes, reader.limits).map_err(error)?)
            }
            (Some(_), _) => return Err(error("they are not compressed, as they should be".to_owned())),
            (None, None) => return Err(error("there are none (7FE0,0010)".to_owned())),
        };
        let Some(data) = decoded.get(..needed) else {
            let got = decoded.len();
            return Err(error(format!("there are {got} bytes of {needed}; send the file whole")));
        };
        let (samples, shift) = format.samples(data);
        Ok(Self { columns: format.columns, rows: format.rows, samples, shift })
    }
}

impl Format {
    fn bytes_of_frames(&self) -> usize {
        self.columns * self.rows * self.frames * self.bytes
    }

    fn read(scope: &Scope<'_>) -> Result<Self, Error> {
        let file = scope.file;
        let integer = |tag, what: &str| scope.required(tag, scope.integer(tag)?, what).map(usize::from);
        let photometric = scope.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        let inverted = match photometric.as_str() {
            "MONOCHROME2" => false,
            "MONOCHROME1" => true,
            other => {
                let advice =
                    "only MONOCHROME1 and MONOCHROME2 are possible: send the scanner's own grey images";
                return Err(refuse(file, tags::PHOTOMETRIC_INTERPRETATION, other, advice));
            }
        };
        let samples = integer(tags::SAMPLES_PER_PIXEL, "an MR image has 1")?;
        if samples != 1 {
            return Err(refuse(file, tags::SAMPLES_PER_PIXEL, samples, "an MR image has 1"));
        }
        let (rows, columns) =
            (integer(tags::ROWS, "send an image")?, integer(tags::COLUMNS, "send an image")?);
        for (tag, n) in [(tags::ROWS, rows), (tags::COLUMNS, columns)] {
            if !IN_PLANE.contains(&n) {
                let advice = format!("{} to {} are possible", IN_PLANE.start(), IN_PLANE.end());
                return Err(refuse(file, tag, n, advice));
            }
        }
        let frames = scope.number(tags::NUMBER_OF_FRAMES)?.unwrap_or(1.0);
        if !(1.0..=MAX_FRAMES as f64).contains(&frames) || frames as usize * rows * columns > MAX_SAMPLES {
            let advice = format!("1 to {MAX_FRAMES} are possible, with {MAX_SAMPLES} samples in all");
            return Err(refuse(file, tags::NUMBER_OF_FRAMES, frames, advice));
        }
        let allocated = integer(tags::BITS_ALLOCATED, "8 and 16 are possible")?;
        if allocated != 8 && allocated != 16 {
            return Err(refuse(file, tags::BITS_ALLOCATED, allocated, "8 and 16 are possible"));
        }
        let stored = integer(tags::BITS_STORED, "1 to the bits allocated are possible")?;
        if stored == 0 || stored > allocated {
            return Err(refuse(file, tags::BITS_STORED, stored, format!("1 to {allocated} are possible")));
        }
        let high = scope.integer(tags::HIGH_BIT)?.map_or(stored - 1, usize::from);
        if high + 1 < stored || high >= allocated {
            return Err(refuse(file, tags::HIGH_BIT, high, format!("{} is usual", stored - 1)));
        }
        let signed = match scope.integer(tags::PIXEL_REPRESENTATION)?.unwrap_or(0) {
            0 => false,
            1 => true,
            other => return Err(refuse(file, tags::PIXEL_REPRESENTATION, other, "0 and 1 are possible")),
        };
        let (stored_bits, high_bit, frames) = (stored as u32, high as u32, frames as usize);
        let padding = padding(scope, signed)?;
        let bytes = allocated / 8;
        Ok(Self { columns, rows, frames, bytes, stored_bits, high_bit, signed, inverted, padding })
    }

    /// Takes the stored bits out of each word, and turns them round when low values are white. Padding is 0.
    fn samples(&self, data: &[u8]) -> (Vec<u16>, i32) {
        let drop = self.high_bit + 1 - self.stored_bits;
        let top = (1u32 << self.stored_bits) - 1;
        let sign = 1u32 << (self.stored_bits - 1);
        let shift = if self.signed { SIGNED } else { 0 };
        let convert = |word: u16| {
            let bits = (u32::from(word) >> drop) & top;
            let value = if self.signed && bits & sign != 0 {
                bits as i32 - (1 << self.stored_bits)
            } else {
                bits as i32
            };
            if self.padding.as_ref().is_some_and(|padding| padding.contains(&value)) {
                return shift as u16;
            }
            // A signed range is turned round about -1/2, an unsigned one about its middle.
            let value = match (self.inverted, self.signed) {
                (false, _) => value,
                (true, true) => -1 - value,
                (true, false) => top as i32 - value,
            };
            (value + shift) as u16
        };
        let samples = match self.bytes {
            1 => data.iter().map(|&b| convert(u16::from(b))).collect(),
            _ => data.as_chunks::<2>().0.iter().map(|&b| convert(u16::from_le_bytes(b))).collect(),
        };
        (samples, shift)
    }
}

/// The stored values that PixelPaddingValue names, up to PixelPaddingRangeLimit where there is one.
fn padding(scope: &Scope<'_>, signed: bool) -> Result<Option<RangeInclusive<i32>>, Error> {
    let read = |tag| {
        // Signed ones are often written as if they were not.
        let as_stored =
            |n: f64| if signed && n > f64::from(i16::MAX) { n as i32 - (1 << 16) } else { n as i32 };
        Ok(scope.number(tag)?.map(as_stored))
    };
    let Some(value) = read(tags::PIXEL_PADDING_VALUE)? else { return Ok(None) };
    let limit = read(tags::PIXEL_PADDING_RANGE_LIMIT)?.unwrap_or(value);
    Ok(Some(value.min(limit)..=value.max(limit)))
}

/// An error with what caused it.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
