//! Values of DICOM attributes, with errors that name the file, the attribute and the value.

use std::fmt::Display;

use dicom_core::{
    Tag,
    dictionary::{DataDictionary, DataDictionaryEntry},
};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;

use crate::error::Error;

/// Longest value that an error shows.
const MAX_SHOWN: usize = 64;

/// The name of an attribute, such as `Modality (0008,0060)`.
pub(super) fn name(tag: Tag) -> String {
    match StandardDataDictionary.by_tag(tag) {
        Some(entry) => format!("{} ({:04X},{:04X})", entry.alias(), tag.group(), tag.element()),
        None => format!("({:04X},{:04X})", tag.group(), tag.element()),
    }
}

/// The attribute that is meant by a keyword, such as `PatientID`, or by `(gggg,eeee)` in hexadecimal digits.
pub fn tag(text: &str) -> Option<Tag> {
    if let Some(entry) = StandardDataDictionary.by_name(text) {
        return Some(entry.tag());
    }
    let (group, element) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let number = |digits: &str| u16::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 4);
    Some(Tag(number(group)?, number(element)?))
}

/// Texts of attributes that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(Tag, String)>);

impl Attributes {
    /// Reads those that are there: of the file, else of the functional groups that all frames share.
    pub(super) fn read(object: &InMemDicomObject, wanted: &[Tag]) -> Self {
        let shared = object.get(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).and_then(|e| e.items());
        let groups = shared.and_then(|items| items.first()).into_iter().flatten();
        let groups = groups.filter_map(|e| e.items()?.first());
        let objects: Vec<_> = std::iter::once(object).chain(groups).collect();
        let scope = Scope { file: "", objects };
        Self(wanted.iter().filter_map(|&tag| Some((tag, scope.text(tag)?))).collect())
    }

    /// Its text without padding; nothing when it was not asked for, absent or empty.
    pub fn get(&self, tag: Tag) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own == tag).map(|(_, text)| text.as_str())
    }
}

/// The error of an attribute whose value cannot be used.
pub(super) fn refuse(file: &str, tag: Tag, value: impl Display, advice: impl Into<String>) -> Error {
    let value = value.to_string().chars().take(MAX_SHOWN).collect();
    Error::Attribute { file: file.to_owned(), name: name(tag), value, advice: advice.into() }
}

/// The places where an attribute of a frame may be, the nearest first: the frame's own group, the group that
/// all frames share, the file.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub(super) file: &'a str,
    pub(super) objects: Vec<&'a InMemDicomObject>,
}

impl<'a> Scope<'a> {
    pub(super) fn file(file: &'a str, object: &'a InMemDicomObject) -> Self {
        Self { file, objects: vec![object] }
    }

    /// The scope of a macro of the functional groups: the first item of `sequence` where there is one, then
    /// the file.
    pub(super) fn within(&self, sequence: Tag) -> Self {
        let item = |object: &&'a InMemDicomObject| {
            object.get(sequence).and_then(|e| e.items()).and_then(|i| i.first())
        };
        let (groups, file) = self.objects.split_at(self.objects.len() - 1);
        let objects = groups.iter().chain(file).filter_map(item).chain(file.iter().copied()).collect();
        Self { file: self.file, objects }
    }

    /// Text without the padding; nothing when it is absent or empty.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        self.objects.iter().find_map(|object| {
            let text = object.get(tag)?.to_str().ok()?;
            let text = text.trim_matches([' ', '\0']);
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// Exactly N finite numbers; nothing when the attribute is absent or empty.
    pub(super) fn numbers<const N: usize>(&self, tag: Tag) -> Result<Option<[f64; N]>, Error> {
        let Some(text) = self.text(tag) else { return Ok(None) };
        let element =
            self.objects.iter().find_map(|object| object.get(tag).filter(|e| !e.value().is_empty_text()));
        let numbers =
            element.and_then(|e| e.to_multi_float64().ok()).filter(|n| n.iter().all(|v| v.is_finite()));
        match numbers.and_then(|n| <[f64; N]>::try_from(n).ok()) {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(refuse(self.file, tag, text, format!("it must have {N} finite number(s)"))),
        }
    }

    /// One finite number.
    pub(super) fn number(&self, tag: Tag) -> Result<Option<f64>, Error> {
        Ok(self.numbers::<1>(tag)?.map(|[n]| n))
    }

    /// One integer from 0 to 65,535.
    pub(super) fn integer(&self, tag: Tag) -> Result<Option<u16>, Error> {
        let Some(text) = self.text(tag) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(refuse(self.file, tag, text, "it must be an integer of 0 to 65,535")),
        }
    }

    /// A value that must be there.
    pub(super) fn required<T>(&self, tag: Tag, value: Option<T>, advice: &str) -> Result<T, Error> {
        value.ok_or_else(|| Error::Missing {
            file: self.file.to_owned(),
            name: name(tag),
            advice: advice.to_owned(),
        })
    }
}

/// Whether a value holds nothing but padding.
trait EmptyText {
    fn is_empty_text(&self) -> bool;
}

impl<I, P> EmptyText for dicom_core::DicomValue<I, P> {
    fn is_empty_text(&self) -> bool {
        self.primitive().is_none_or(|p| p.to_str().trim_matches([' ', '\0']).is_empty())
    }
}
