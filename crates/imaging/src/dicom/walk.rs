//! The way through a data set. Each length must fit what is there, and nesting has a limit. What is used of the data set is
//! written again with the same values, so that the parser, which has other rules for what is odd, reads nothing odd.

use std::ops::Range;

use dicom_core::{
    Tag, VR,
    dictionary::{DataDictionary, DataDictionaryEntry},
};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::attribute::name;

/// Sequences within sequences; Enhanced MR has 4.
const MAX_DEPTH: usize = 32;
/// Longest value that is kept. No attribute that is read is longer.
const MAX_VALUE: usize = 16 << 10;
/// The length that stands for "until the delimiter".
const UNDEFINED: u32 = u32::MAX;
/// What items and delimiters are marked with.
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Why a data set cannot be used.
pub(super) enum Problem {
    /// It ends early.
    CutOff(String),
    /// It breaks the rules.
    Broken(String),
}

/// How a data set is written.
#[derive(Clone, Copy)]
pub(super) struct Encoding {
    implicit: bool,
    pub(super) big_endian: bool,
}

impl Encoding {
    pub(super) const IMPLICIT: Self = Self { implicit: true, big_endian: false };
    pub(super) const EXPLICIT: Self = Self { implicit: false, big_endian: false };
    pub(super) const BIG_ENDIAN: Self = Self { implicit: false, big_endian: true };
}

/// What is being walked through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    DataSet,
    Sequence,
    Item,
    /// The samples of frames, compressed.
    Fragments,
}

struct Level {
    kind: Kind,
    /// Where it ends; nothing when a delimiter says so.
    end: Option<usize>,
    implicit: bool,
    /// Whether it is written again.
    is_kept: bool,
}

/// The header of an element.
struct Element {
    tag: Tag,
    vr: VR,
    length: u32,
}

pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    /// Private attributes that are kept.
    wanted: &'a [Tag],
    kept: Kept,
    /// How much was kept when the samples began.
    before_samples: Option<usize>,
    native: Option<Range<usize>>,
}

impl<'a> Walk<'a> {
    /// `most`: bytes that may be kept.
    pub(super) fn new(bytes: &'a [u8], encoding: Encoding, wanted: &'a [Tag], most: usize) -> Self {
        let Encoding { implicit, big_endian } = encoding;
        let levels = vec![Level { kind: Kind::DataSet, end: Some(bytes.len()), implicit, is_kept: true }];
        let kept = Kept { bytes: Vec::new(), big_endian, most };
        Self { bytes, at: 0, levels, wanted, kept, before_samples: None, native: None }
    }

    /// How far it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where samples are that are not compressed.
    pub(super) fn native(&self) -> Option<Range<usize>> {
        self.native.clone()
    }

    /// How many bytes of what is kept come before the samples, if there are samples.
    pub(super) fn before_samples(&self) -> Option<usize> {
        self.before_samples
    }

    /// What is used of the data set, with explicit VRs, in its own byte order. Samples that are not compressed stay where
    /// they are.
    pub(super) fn into_kept(self) -> Vec<u8> {
        self.kept.bytes
    }

    /// Walks through the file meta group and returns its transfer syntax.
    pub(super) fn transfer_syntax(&mut self) -> Result<String, Problem> {
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

    /// Walks through the data set, and notes its SeriesInstanceUID. Some writers fill their files up with zeros after it.
    pub(super) fn run(&mut self, series: &mut Option<String>) -> Result<(), Problem> {
        loop {
            while self.levels.last().is_some_and(|level| level.end == Some(self.at)) {
                self.leave()?;
            }
            let Some(&Level { kind, end, implicit, is_kept }) = self.levels.last() else { return Ok(()) };
            if kind == Kind::DataSet && self.is_padding() {
                return Ok(());
            }
            let element = self.header(implicit)?;
            match (kind, element.tag) {
                (Kind::Sequence, ITEM) => self.enter(&element, Kind::Item, implicit, is_kept)?,
                (Kind::Fragments, ITEM) => {
                    let value = self.value(&element)?;
                    if is_kept {
                        self.kept.fragment(value);
                    }
                }
                // Some writers end the data set like an item.
                (Kind::DataSet, ITEM_END) if self.is_padding() => return Ok(()),
                (Kind::Item, ITEM_END) | (Kind::Sequence | Kind::Fragments, SEQUENCE_END)
                    if end.is_none() =>
                {
                    self.leave()?;
                }
                (_, ITEM | ITEM_END | SEQUENCE_END) => {
                    let problem =
                        format!("at byte {} something begins or ends that cannot be there", self.at);
                    return Err(Problem::Broken(problem));
                }
                (Kind::Sequence | Kind::Fragments, tag) => {
                    return Err(Problem::Broken(format!("{} is between two items", name(tag))));
                }
                (Kind::Item, tag) => self.element(&element, implicit, is_kept && self.is_used(tag))?,
                (Kind::DataSet, tags::PIXEL_DATA) => self.samples(&element, implicit)?,
                (Kind::DataSet, tag) => {
                    if tag == tags::SERIES_INSTANCE_UID && element.length != UNDEFINED {
                        let end = self.fits(tag, element.length)?;
                        *series = Some(text(&self.bytes[self.at..end]));
                    }
                    self.element(&element, implicit, self.is_used(tag))?;
                }
            }
        }
    }

    /// Whether nothing but zeros follows.
    fn is_padding(&self) -> bool {
        self.bytes[self.at..].iter().all(|&byte| byte == 0)
    }

    /// Group lengths count what is no longer there, and private attributes are read only if somebody asks for them.
    fn is_used(&self, tag: Tag) -> bool {
        tag.element() != 0 && (tag.group().is_multiple_of(2) || self.wanted.contains(&tag))
    }

    /// The samples of the file.
    fn samples(&mut self, element: &Element, implicit: bool) -> Result<(), Problem> {
        self.before_samples = Some(self.kept.bytes.len());
        if element.length == UNDEFINED {
            return self.enter(element, Kind::Fragments, implicit, true);
        }
        let begun = self.at;
        self.value(element)?;
        self.native = Some(begun..self.at);
        Ok(())
    }

    /// Any other element.
    fn element(&mut self, element: &Element, implicit: bool, is_kept: bool) -> Result<(), Problem> {
        match (element.tag, element.vr, element.length) {
            // Those of an icon.
            (tags::PIXEL_DATA, _, UNDEFINED) => self.enter(element, Kind::Fragments, implicit, false),
            // What was stored by something that did not know it has no VRs, whatever the data set around it has (CP-246).
            (_, VR::UN, UNDEFINED) => self.enter(element, Kind::Sequence, true, is_kept),
            (_, _, UNDEFINED) | (_, VR::SQ, _) => self.enter(element, Kind::Sequence, implicit, is_kept),
            _ => {
                let value = self.value(element)?;
                if is_kept && value.len() <= MAX_VALUE {
                    self.kept.value(element, value)?;
                }
                Ok(())
            }
        }
    }

    fn enter(&mut self, element: &Element, kind: Kind, implicit: bool, is_kept: bool) -> Result<(), Problem> {
        let is_open = element.length == UNDEFINED;
        let end = if is_open { None } else { Some(self.fits(element.tag, element.length)?) };
        self.levels.push(Level { kind, end, implicit, is_kept });
        if self.levels.len() > MAX_DEPTH {
            return Err(Problem::Broken(format!("it nests sequences more than {MAX_DEPTH} deep")));
        }
        if is_kept { self.kept.begin(kind, element.tag) } else { Ok(()) }
    }

    fn leave(&mut self) -> Result<(), Problem> {
        match self.levels.pop() {
            Some(Level { kind, is_kept: true, .. }) => self.kept.end(kind),
            _ => Ok(()),
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
            let vr = StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
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
        let length = if is_long(vr) {
            self.u16()?;
            self.u32()?
        } else {
            u32::from(self.u16()?)
        };
        Ok(Element { tag, vr, length })
    }

    fn u16(&mut self) -> Result<u16, Problem> {
        let b = self.take::<2>()?;
        Ok(if self.kept.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        let b = self.take::<4>()?;
        Ok(if self.kept.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = self.bytes.get(self.at..self.at + N).and_then(|b| b.try_into().ok());
        self.at += N;
        taken.ok_or_else(|| {
            Problem::CutOff(format!("it ends within an element's header at byte {}", self.at - N))
        })
    }
}

/// What is kept of a data set, as a data set with explicit VRs whose sequences and items have delimiters.
struct Kept {
    bytes: Vec<u8>,
    big_endian: bool,
    most: usize,
}

impl Kept {
    fn value(&mut self, element: &Element, value: &[u8]) -> Result<(), Problem> {
        self.header(element.tag, element.vr, element.length)?;
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Compressed samples are as long as they are in the file.
    fn fragment(&mut self, value: &[u8]) {
        self.tag(ITEM);
        self.u32(value.len() as u32);
        self.bytes.extend_from_slice(value);
        self.most += 8 + value.len();
    }

    fn begin(&mut self, kind: Kind, tag: Tag) -> Result<(), Problem> {
        match kind {
            Kind::DataSet => Ok(()),
            Kind::Sequence => self.header(tag, VR::SQ, UNDEFINED),
            Kind::Fragments => self.header(tag, VR::OB, UNDEFINED),
            Kind::Item => {
                self.tag(ITEM);
                self.u32(UNDEFINED);
                Ok(())
            }
        }
    }

    fn end(&mut self, kind: Kind) -> Result<(), Problem> {
        match kind {
            Kind::DataSet => return Ok(()),
            Kind::Item => self.tag(ITEM_END),
            Kind::Sequence | Kind::Fragments => self.tag(SEQUENCE_END),
        }
        self.u32(0);
        self.check()
    }

    fn header(&mut self, tag: Tag, vr: VR, length: u32) -> Result<(), Problem> {
        self.tag(tag);
        self.bytes.extend_from_slice(&vr.to_bytes());
        if is_long(vr) {
            self.u16(0);
            self.u32(length);
        } else {
            // No longer than MAX_VALUE.
            self.u16(length as u16);
        }
        self.check()
    }

    fn check(&self) -> Result<(), Problem> {
        if self.bytes.len() <= self.most {
            return Ok(());
        }
        Err(Problem::Broken(format!("its header has more than {} bytes beside the samples", self.most)))
    }

    fn tag(&mut self, tag: Tag) {
        self.u16(tag.group());
        self.u16(tag.element());
    }

    fn u16(&mut self, number: u16) {
        let bytes = if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    fn u32(&mut self, number: u32) {
        let bytes = if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }
}

/// Whether an explicit length has four bytes.
fn is_long(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

/// A value without its padding.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}
