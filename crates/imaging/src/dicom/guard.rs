//! What is checked before the parser sees a file. The parser makes room for every length that a file states and follows
//! every nesting, so it never sees the file: it sees what [`Walk`] wrote of it.

use std::{borrow::Cow, io::Read, ops::Range};

use dicom_core::Tag;
use dicom_dictionary_std::uids;
use dicom_object::{InMemDicomObject, ReadError};
use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN};

use super::{
    known::known,
    limits::Limits,
    walk::{Encoding, Problem, Walk},
};
use crate::error::Error;

/// What the structure of a file shows.
pub(super) struct Checked<'a> {
    /// SeriesInstanceUID, as far as it was reached.
    pub(super) series: Option<String>,
    /// What of the file the parser may see.
    pub(super) sound: Result<Sound<'a>, Error>,
    /// What comes before the samples of a file that is cut off in them.
    pub(super) header: Option<Sound<'a>>,
}

/// A file whose structure is sound.
pub(super) struct Sound<'a> {
    /// UID of its transfer syntax.
    pub(super) syntax: String,
    /// The attributes that are used, and compressed samples, written again.
    attributes: Vec<u8>,
    big_endian: bool,
    /// All of its data set.
    data: Cow<'a, [u8]>,
    /// Where in it the samples are that are not compressed.
    samples: Option<Range<usize>>,
}

/// Samples that are not compressed.
pub(super) struct Native<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
}

impl<'a> Native<'a> {
    /// Each sample of two bytes with its low byte first.
    pub(super) fn little_endian(self) -> Cow<'a, [u8]> {
        if self.big_endian {
            return Cow::Owned(
                self.bytes.as_chunks::<2>().0.iter().flat_map(|&[high, low]| [low, high]).collect(),
            );
        }
        Cow::Borrowed(self.bytes)
    }
}

impl Sound<'_> {
    /// Its attributes, and its samples if they are compressed.
    pub(super) fn parsed(&self) -> Result<InMemDicomObject, ReadError> {
        let explicit = if self.big_endian { EXPLICIT_VR_BIG_ENDIAN } else { EXPLICIT_VR_LITTLE_ENDIAN };
        InMemDicomObject::read_dataset_with_ts(&self.attributes[..], &explicit.erased()).map(known)
    }

    /// Its samples, if there are any that are not compressed.
    pub(super) fn native(&self) -> Option<Native<'_>> {
        let bytes = &self.data[self.samples.clone()?];
        Some(Native { bytes, big_endian: self.big_endian })
    }

    /// Whether samples of its transfer syntax are not compressed.
    pub(super) fn is_native(&self) -> bool {
        NATIVE.contains(&self.syntax.as_str())
    }
}

/// Transfer syntaxes whose samples are not compressed.
const NATIVE: [&str; 4] = [
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN.uid(),
];

/// Checks a file's structure. `wanted`: attributes that are kept even if they are private.
pub(super) fn check<'a>(file: &str, bytes: &'a [u8], wanted: &[Tag], limits: Limits) -> Checked<'a> {
    let (mut series, mut header) = (None, None);
    let sound = walk(bytes, wanted, limits, &mut series, &mut header).map_err(|problem| match problem {
        Problem::CutOff(detail) => Error::Truncated { file: file.to_owned(), detail },
        Problem::Broken(detail) => Error::NotDicom { file: file.to_owned(), detail },
    });
    Checked { series, sound, header }
}

/// How many bytes the samples of a file can have, by its transfer syntax: as many as the file when they are not compressed.
pub fn most_sample_bytes(bytes: &[u8], limits: Limits) -> usize {
    match syntax(bytes, limits) {
        Ok((syntax, _)) if is_as_large(&syntax) => bytes.len(),
        Ok(_) => limits.file_bytes(),
        // It will be refused.
        Err(_) => 0,
    }
}

fn is_as_large(syntax: &str) -> bool {
    NATIVE.contains(&syntax) && syntax != uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
}

/// Its transfer syntax, and where its data set begins.
fn syntax(bytes: &[u8], limits: Limits) -> Result<(String, usize), Problem> {
    let start = match (bytes.get(128..132), bytes.get(..4)) {
        (Some(b"DICM"), _) => 132,
        (_, Some(b"DICM")) => 4,
        _ => return Err(Problem::Broken("there is no DICM at byte 128".to_owned())),
    };
    let mut meta = Walk::new(&bytes[start..], Encoding::EXPLICIT, &[], limits.header_bytes());
    let syntax = meta.transfer_syntax()?;
    Ok((syntax, start + meta.at()))
}

fn walk<'a>(
    bytes: &'a [u8],
    wanted: &[Tag],
    limits: Limits,
    series: &mut Option<String>,
    header: &mut Option<Sound<'a>>,
) -> Result<Sound<'a>, Problem> {
    let most = limits.file_bytes();
    if bytes.len() > most {
        return Err(Problem::Broken(format!("it has {} bytes, at most {most} are possible", bytes.len())));
    }
    let (syntax, start) = syntax(bytes, limits)?;
    let mut data = Cow::Borrowed(&bytes[start..]);
    let encoding = match syntax.as_str() {
        uids::IMPLICIT_VR_LITTLE_ENDIAN => Encoding::IMPLICIT,
        big if big == EXPLICIT_VR_BIG_ENDIAN.uid() => Encoding::BIG_ENDIAN,
        _ => Encoding::EXPLICIT,
    };
    if syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        data = Cow::Owned(inflate(&data, most)?);
    }
    let mut walk = Walk::new(&data, encoding, wanted, limits.header_bytes());
    let walked = walk.run(series);
    let (samples, before) = (walk.native(), walk.before_samples());
    let mut attributes = walk.into_kept();
    let sound = |attributes, samples| {
        let syntax = syntax.clone();
        Sound { syntax, attributes, big_endian: encoding.big_endian, data, samples }
    };
    match walked {
        Ok(()) => Ok(sound(attributes, samples)),
        Err(problem) => {
            *header = before.map(|before| {
                attributes.truncate(before);
                sound(attributes, None)
            });
            Err(problem)
        }
    }
}

fn inflate(data: &[u8], most: usize) -> Result<Vec<u8>, Problem> {
    let mut inflated = Vec::new();
    let read = flate2::read::DeflateDecoder::new(data).take(most as u64 + 1).read_to_end(&mut inflated);
    match read {
        Err(e) => Err(Problem::CutOff(format!("the deflated data set ends early or is damaged ({e})"))),
        Ok(n) if n > most => Err(Problem::Broken(format!("it inflates to more than {most} bytes"))),
        Ok(_) => Ok(inflated),
    }
}
