//! Attributes as the standard's dictionary has them. Archives that do not know an attribute store it as UN, some
//! writers state another value representation (VR) for one that is known; what it is is known all the same.

use std::str::FromStr;

use dicom_core::{
    DataElement, PrimitiveValue, VR,
    dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr},
    value::{DataSetSequence, Value},
};
use dicom_dictionary_std::StandardDataDictionary;
use dicom_object::InMemDicomObject;

type Element = DataElement<InMemDicomObject>;

/// The same data set with every value in the VR that the dictionary has for its attribute, where the bytes or the
/// text that are there can be one. What cannot stays as it is, and what needs it says so.
pub(super) fn known(object: InMemDicomObject) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(object.into_iter().map(element))
}

fn element(element: Element) -> Element {
    let tag = element.header().tag;
    let stated = element.header().vr;
    let vr = match StandardDataDictionary.by_tag(tag).map(DataDictionaryEntry::vr) {
        Some(VirtualVr::Exact(vr)) => vr,
        // One that depends on others: the samples, or numbers that are signed as the samples are.
        _ => stated,
    };
    let (_, value) = element.into_parts();
    match value {
        Value::Sequence(sequence) => {
            let items: Vec<_> = sequence.into_items().into_iter().map(known).collect();
            DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
        }
        Value::Primitive(value) if vr != stated => match converted(vr, &value) {
            Some(value) => DataElement::new(tag, vr, value),
            None => DataElement::new(tag, stated, value),
        },
        value => DataElement::new(tag, stated, value),
    }
}

/// The value in another VR, if it can be one.
fn converted(vr: VR, value: &PrimitiveValue) -> Option<PrimitiveValue> {
    if let PrimitiveValue::U8(bytes) = value {
        return from_bytes(vr, bytes);
    }
    if !matches!(value, PrimitiveValue::Str(_) | PrimitiveValue::Strs(_)) {
        return None;
    }
    from_text(vr, &value.to_raw_str())
}

/// A value of the text of a number, or of another kind of text.
fn from_text(vr: VR, text: &str) -> Option<PrimitiveValue> {
    fn numbers<T: FromStr>(text: &str) -> Option<Vec<T>> {
        text.split('\\').map(|number| number.trim_matches([' ', '\0']).parse().ok()).collect()
    }
    match vr {
        VR::US => Some(PrimitiveValue::U16(numbers(text)?.into())),
        VR::SS => Some(PrimitiveValue::I16(numbers(text)?.into())),
        VR::UL => Some(PrimitiveValue::U32(numbers(text)?.into())),
        VR::SL => Some(PrimitiveValue::I32(numbers(text)?.into())),
        VR::FL => Some(PrimitiveValue::F32(numbers(text)?.into())),
        VR::FD => Some(PrimitiveValue::F64(numbers(text)?.into())),
        vr => is_text(vr).then(|| split(vr, text)),
    }
}

/// A value of the bytes of an unknown one, which is little endian.
fn from_bytes(vr: VR, bytes: &[u8]) -> Option<PrimitiveValue> {
    fn numbers<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Option<Vec<T>> {
        let (chunks, rest) = bytes.as_chunks::<N>();
        rest.is_empty().then(|| chunks.iter().map(|&chunk| read(chunk)).collect())
    }
    match vr {
        VR::US => Some(PrimitiveValue::U16(numbers(bytes, u16::from_le_bytes)?.into())),
        VR::SS => Some(PrimitiveValue::I16(numbers(bytes, i16::from_le_bytes)?.into())),
        VR::UL => Some(PrimitiveValue::U32(numbers(bytes, u32::from_le_bytes)?.into())),
        VR::SL => Some(PrimitiveValue::I32(numbers(bytes, i32::from_le_bytes)?.into())),
        VR::FL => Some(PrimitiveValue::F32(numbers(bytes, f32::from_le_bytes)?.into())),
        VR::FD => Some(PrimitiveValue::F64(numbers(bytes, f64::from_le_bytes)?.into())),
        vr => is_text(vr).then(|| split(vr, &String::from_utf8_lossy(bytes))),
    }
}

/// Text with one value, or several where the VR has several.
fn split(vr: VR, text: &str) -> PrimitiveValue {
    let text = text.trim_end_matches([' ', '\0']);
    match vr {
        VR::LT | VR::ST | VR::UT | VR::UR => PrimitiveValue::Str(text.to_owned()),
        _ => PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()),
    }
}

fn is_text(vr: VR) -> bool {
    use VR::{AE, AS, CS, DA, DS, DT, IS, LO, LT, PN, SH, ST, TM, UC, UI, UR, UT};
    matches!(vr, AE | AS | CS | DA | DS | DT | IS | LO | LT | PN | SH | ST | TM | UC | UI | UR | UT)
}
