//! What is checked before the parser sees a file. The parser makes room for every length that a file states
//! and follows every nesting; here a length must fit what is there, and nesting has a limit.

use std::{borrow::Cow, io::Read, ops::Range};

use dicom_core::{
    Tag, VR,
    dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr},
};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};

use super::attribute::name;
use crate::error::Error;

/// Most that one file may hold, packed or unpacked: a volume of 512 x 512 x 512 samples and room for headers.
pub(super) const MAX_BYTES: usize = 288 << 20;
/// Sequences within sequences; Enhanced MR has 4.
const MAX_DEPTH: usize = 32;
/// The length that stands for "until the delimiter".
const UNDEFINED: u32 = u32::MAX;
/// What items and delimiters are marked with.
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
/// Retired, but the parser knows it.
const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// What the structure of a file shows.
pub(super) struct Checked {
    /// SeriesInstanceUID, as far as it was reached.
    pub(super) series: Option<String>,
    /// What of the file the parser may see.
    pub(super) sound: Result<Sound, Error>,
    /// What comes before the samples of a file that is cut off in them.
    pub(super) header: Option<Sound>,
}

/// A file whose structure is sound.
pub(super) struct Sound {
    /// Where its data set ends: what follows is padding.
    end: usize,
    /// Sequences that an explicit data set has as UN of undefined length.
    unknown: Vec<Unknown>,
}

/// A sequence that was stored by something that did not know it. By CP-246 its content has no VRs, whatever the data set
/// around it has; the parser does not know that.
struct Unknown {
    at: Range<usize>,
    /// Whether it is known, and lies in no other sequence: private ones are not read.
    is_read: bool,
}

impl Sound {
    /// What the parser reads: the file without padding and without unknown sequences.
    pub(super) fn parsed<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(first) = self.unknown.first() else { return Cow::Borrowed(&bytes[..self.end]) };
        let mut kept = bytes[..first.at.start].to_vec();
        let next = self.unknown.iter().skip(1).map(|next| next.at.start).chain([self.end]);
        for (unknown, next) in self.unknown.iter().zip(next) {
            kept.extend_from_slice(&bytes[unknown.at.end..next]);
        }
        Cow::Owned(kept)
    }

    /// The known ones among the unknown sequences, each as a data set in implicit VR little endian.
    pub(super) fn sequences(&self, bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let read = self.unknown.iter().filter(|unknown| unknown.is_read);
        // Tag and length, without the VR and its two reserved bytes between them.
        read.map(|unknown| {
            let element = &bytes[unknown.at.clone()];
            [&element[..4], &element[8..]].concat()
        })
    }
}

/// Checks a file's structure.
pub(super) fn check(file: &str, bytes: &[u8]) -> Checked {
    let (mut series, mut header) = (None, None);
    let sound = walk(bytes, &mut series, &mut header).map_err(|problem| match problem {
        Problem::CutOff(detail) => Error::Truncated { file: file.to_owned(), detail },
        Problem::Broken(detail) => Error::NotDicom { file: file.to_owned(), detail },
    });
    Checked { series, sound, header }
}

fn walk(bytes: &[u8], series: &mut Option<String>, header: &mut Option<Sound>) -> Result<Sound, Problem> {
    if bytes.len() > MAX_BYTES {
        return Err(Problem::Broken(format!(
            "it has {} bytes, at most {MAX_BYTES} are possible",
            bytes.len()
        )));
    }
    let start = match (bytes.get(128..132), bytes.get(..4)) {
        (Some(b"DICM"), _) => 132,
        (_, Some(b"DICM")) => 4,
        _ => return Err(Problem::Broken("there is no DICM at byte 128".to_owned())),
    };
    let mut meta = Walk { at: start, ..Walk::dataset(bytes, false, false) };
    let syntax = meta.transfer_syntax()?;
    let data = &bytes[meta.at..];
    let mut walk = match syntax.as_str() {
        uids::IMPLICIT_VR_LITTLE_ENDIAN => Walk::dataset(data, true, false),
        EXPLICIT_VR_BIG_ENDIAN => Walk::dataset(data, false, true),
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => {
            Walk::dataset(&inflate(data)?, false, false).run(series)?;
            return Ok(Sound { end: bytes.len(), unknown: Vec::new() });
        }
        _ => Walk::dataset(data, false, false),
    };
    let walked = walk.run(series);
    let Walk { mut unknown, samples, .. } = walk;
    for Unknown { at, .. } in &mut unknown {
        *at = at.start + meta.at..at.end + meta.at;
    }
    match walked {
        Ok(end) => Ok(Sound { end: meta.at + end, unknown }),
        Err(problem) => {
            *header = samples.map(|at| Sound { end: meta.at + at, unknown });
            Err(problem)
        }
    }
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut inflated = Vec::new();
    let read = flate2::read::DeflateDecoder::new(data).take(MAX_BYTES as u64 + 1).read_to_end(&mut inflated);
    match read {
        Err(e) => Err(Problem::CutOff(format!("the deflated data set ends early or is damaged ({e})"))),
        Ok(n) if n > MAX_BYTES => Err(Problem::Broken(format!("it inflates to more than {MAX_BYTES} bytes"))),
        Ok(_) => Ok(inflated),
    }
}

enum Problem {
    CutOff(String),
    Broken(String),
}

/// A data set, item or sequence that is being walked through.
struct Level {
    /// Where it ends; nothing when a delimiter says so.
    end: Option<usize>,
    implicit: bool,
    /// Whether its items are fragments of pixel data rather than data sets.
    fragments: bool,
}

impl Level {
    fn end(end: usize, implicit: bool) -> Self {
        Self { end: Some(end), implicit, fragments: false }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
    levels: Vec<Level>,
    /// Where the unknown sequence began that is being walked through, and how deep.
    within: Option<(usize, usize)>,
    unknown: Vec<Unknown>,
    /// Where the samples begin.
    samples: Option<usize>,
}

/// A value without its padding.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

/// The header of an element.
struct Element {
    tag: Tag,
    vr: VR,
    length: u32,
}

impl<'a> Walk<'a> {
    fn dataset(bytes: &'a [u8], implicit: bool, big_endian: bool) -> Self {
        let levels = vec![Level::end(bytes.len(), implicit)];
        Self { bytes, at: 0, big_endian, levels, within: None, unknown: Vec::new(), samples: None }
    }

    /// Walks through the file meta group and returns its transfer syntax.
    fn transfer_syntax(&mut self) -> Result<String, Problem> {
        let mut syntax = None;
        while self.bytes.get(self.at..self.at + 2) == Some(&[2, 0]) {
            let element = self.header(false)?;
            let value = self.value(&element)?;
            if element.tag == tags::TRANSFER_SYNTAX_UID {
                syntax = Some(text(value));
            }
        }
        syntax.ok_or_else(|| Problem::Broken("its file meta group has no transfer syntax".to_owned()))
    }

    /// Walks through the data set and returns where it ends. Some writers fill their files up with zeros
    /// after it.
    fn run(&mut self, series: &mut Option<String>) -> Result<usize, Problem> {
        loop {
            while self.levels.last().is_some_and(|level| level.end == Some(self.at)) {
                self.levels.pop();
            }
            let Some(level) = self.levels.last() else { return Ok(self.at) };
            let (implicit, fragments) = (level.implicit, level.fragments);
            if self.levels.len() == 1 && self.bytes[self.at..].iter().all(|&b| b == 0) {
                return Ok(self.at);
            }
            let begun = self.at;
            let element = self.header(implicit)?;
            if element.tag == tags::PIXEL_DATA && self.levels.len() == 1 {
                self.samples = Some(begun);
            }
            match (element.tag, element.length) {
                (ITEM, _) if fragments => {
                    self.value(&element)?;
                }
                (ITEM, UNDEFINED) => self.enter(None, implicit, false)?,
                (ITEM, length) => {
                    let end = self.fits(element.tag, length)?;
                    self.enter(Some(end), implicit, false)?;
                }
                // Some writers end the data set like an item.
                (ITEM_END, _) if self.levels.len() == 1 && self.bytes[self.at..].iter().all(|&b| b == 0) => {
                    return Ok(begun);
                }
                (ITEM_END | SEQUENCE_END, _) => {
                    if self.levels.len() < 2 || self.levels.pop().is_some_and(|level| level.end.is_some()) {
                        return Err(Problem::Broken(format!(
                            "at byte {} something ends that never began",
                            self.at
                        )));
                    }
                    self.leave();
                }
                (tags::PIXEL_DATA, UNDEFINED) => self.enter(None, implicit, true)?,
                (_, UNDEFINED) if element.vr == VR::UN => {
                    // Where lengths around it count its bytes it cannot be taken out.
                    let is_free = self.levels[1..].iter().all(|level| level.end.is_none());
                    if !implicit && is_free && self.within.is_none() {
                        self.within = Some((begun, self.levels.len()));
                    }
                    self.enter(None, true, false)?;
                }
                (_, UNDEFINED) => self.enter(None, implicit, false)?,
                (_, length) if element.vr == VR::SQ => {
                    let end = self.fits(element.tag, length)?;
                    self.enter(Some(end), implicit, false)?;
                }
                (tags::SERIES_INSTANCE_UID, _) if self.levels.len() == 1 => {
                    *series = Some(text(self.value(&element)?));
                }
                _ => {
                    self.value(&element)?;
                }
            }
        }
    }

    fn enter(&mut self, end: Option<usize>, implicit: bool, fragments: bool) -> Result<(), Problem> {
        self.levels.push(Level { end, implicit, fragments });
        if self.levels.len() > MAX_DEPTH {
            return Err(Problem::Broken(format!("it nests sequences more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    /// Notes where an unknown sequence was, when that has ended.
    fn leave(&mut self) {
        if let Some((begun, depth)) = self.within
            && self.levels.len() == depth
        {
            self.within = None;
            // The low byte of a group number comes first; private groups are odd.
            let is_read = depth == 1 && self.bytes[begun].is_multiple_of(2);
            self.unknown.push(Unknown { at: begun..self.at, is_read });
        }
    }

    /// Where a value of `length` ends.
    fn fits(&self, tag: Tag, length: u32) -> Result<usize, Problem> {
        let (length, left) = (length as usize, self.bytes.len() - self.at);
        if length > left {
            return Err(Problem::CutOff(format!(
                "{} has {length} bytes, {left} of them are there",
                name(tag)
            )));
        }
        let end = self.at + length;
        match self.levels.iter().rev().find_map(|level| level.end) {
            Some(limit) if end > limit => {
                Err(Problem::Broken(format!("{} is longer than what it is in", name(tag))))
            }
            _ => Ok(end),
        }
    }

    fn value(&mut self, element: &Element) -> Result<&'a [u8], Problem> {
        let end = self.fits(element.tag, element.length)?;
        let value = &self.bytes[self.at..end];
        self.at = end;
        Ok(value)
    }

    fn header(&mut self, implicit: bool) -> Result<Element, Problem> {
        let (group, number) = (self.u16()?, self.u16()?);
        let tag = Tag(group, number);
        if group == 0xFFFE {
            return Ok(Element { tag, vr: VR::UN, length: self.u32()? });
        }
        if implicit {
            let vr = match StandardDataDictionary.by_tag(tag).map(DataDictionaryEntry::vr) {
                Some(VirtualVr::Exact(vr)) => vr,
                _ => VR::UN,
            };
            return Ok(Element { tag, vr, length: self.u32()? });
        }
        let code = self.take::<2>()?;
        let Some(vr) = VR::from_binary(code) else {
            return Err(Problem::Broken(format!(
                "{} at byte {} has no value representation",
                name(tag),
                self.at - 6
            )));
        };
        let length = match vr {
            VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW => self.long_length()?,
            VR::SQ | VR::SV | VR::UC | VR::UN | VR::UR | VR::UT | VR::UV => self.long_length()?,
            _ => u32::from(self.u16()?),
        };
        Ok(Element { tag, vr, length })
    }

    fn long_length(&mut self) -> Result<u32, Problem> {
        self.u16()?;
        self.u32()
    }

    fn u16(&mut self) -> Result<u16, Problem> {
        let b = self.take::<2>()?;
        Ok(if self.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        let b = self.take::<4>()?;
        Ok(if self.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = self.bytes.get(self.at..self.at + N).and_then(|b| b.try_into().ok());
        self.at += N;
        taken.ok_or_else(|| {
            Problem::CutOff(format!("it ends within an element's header at byte {}", self.at - N))
        })
    }
}
