//! Volumes as DICOM: for tests, and for phantoms that look as if a scanner had sent them.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use jiff::civil::DateTime;

use crate::{
    error::Error,
    volume::{Handedness, Volume},
};

use super::Device;

/// What is written beside the image.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// SeriesInstanceUID, at most 58 characters: see [`series_uid`]. Study and instances are derived from it.
    pub series_uid: String,
    /// PatientID: the egg's name.
    pub egg_id: String,
    /// When it was acquired, where the scanner stands.
    pub acquired: DateTime,
    /// What it was acquired with.
    pub device: Device,
}

/// A UID made of a number, such as a hash or a UUID (DICOM Part 5, B.2).
pub fn series_uid(number: u128) -> String {
    format!("2.25.{number}")
}

/// One Enhanced MR file, explicit little endian.
pub fn write_enhanced(volume: &Volume, label: &Label) -> Result<Vec<u8>, Error> {
    let header = volume.header();
    let slices = header.dims[2];
    let mut object = base(volume, label, uids::ENHANCED_MR_IMAGE_STORAGE, 1);
    put(&mut object, tags::NUMBER_OF_FRAMES, VR::IS, slices.to_string());
    let [x, y, z] = header.spacing_mm;
    let measures = item([
        text(tags::PIXEL_SPACING, VR::DS, format!("{}\\{}", decimal(y), decimal(x))),
        text(tags::SLICE_THICKNESS, VR::DS, decimal(z)),
        text(tags::SPACING_BETWEEN_SLICES, VR::DS, decimal(z)),
    ]);
    let orientation = item([text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, ORIENTATION.to_owned())]);
    let rescale = item([
        text(tags::RESCALE_INTERCEPT, VR::DS, decimal(header.intercept)),
        text(tags::RESCALE_SLOPE, VR::DS, decimal(header.slope)),
        text(tags::RESCALE_TYPE, VR::LO, "US".to_owned()),
    ]);
    let shared = item([
        sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]),
        sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![orientation]),
        sequence(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![rescale]),
    ]);
    object.put(sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]));
    let frame = |i: usize| {
        let number = |tag: Tag| DataElement::new(tag, VR::UL, PrimitiveValue::from(i as u32 + 1));
        let content = item([
            text(tags::STACK_ID, VR::SH, "1".to_owned()),
            number(tags::IN_STACK_POSITION_NUMBER),
            number(tags::DIMENSION_INDEX_VALUES),
        ]);
        let position = item([text(tags::IMAGE_POSITION_PATIENT, VR::DS, position(volume, i))]);
        item([
            sequence(tags::FRAME_CONTENT_SEQUENCE, vec![content]),
            sequence(tags::PLANE_POSITION_SEQUENCE, vec![position]),
        ])
    };
    object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, (0..slices).map(frame).collect()));
    pixels(&mut object, volume.samples());
    file(object, label)
}

/// One MR file for each slice, explicit little endian.
pub fn write_series(volume: &Volume, label: &Label) -> Result<Vec<Vec<u8>>, Error> {
    let header = volume.header();
    let [x, y, z] = header.spacing_mm;
    let plane = 2 * header.dims[0] * header.dims[1];
    let slice = |(i, samples): (usize, &[u8])| {
        let mut object = base(volume, label, uids::MR_IMAGE_STORAGE, i + 1);
        for element in [
            text(tags::PIXEL_SPACING, VR::DS, format!("{}\\{}", decimal(y), decimal(x))),
            text(tags::SLICE_THICKNESS, VR::DS, decimal(z)),
            text(tags::SPACING_BETWEEN_SLICES, VR::DS, decimal(z)),
            text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, ORIENTATION.to_owned()),
            text(tags::IMAGE_POSITION_PATIENT, VR::DS, position(volume, i)),
            text(tags::RESCALE_INTERCEPT, VR::DS, decimal(header.intercept)),
            text(tags::RESCALE_SLOPE, VR::DS, decimal(header.slope)),
            text(tags::IMAGES_IN_ACQUISITION, VR::IS, header.dims[2].to_string()),
        ] {
            object.put(element);
        }
        pixels(&mut object, samples);
        file(object, label)
    };
    volume.samples().chunks_exact(plane).enumerate().map(slice).collect()
}

/// x of the volume along x of the frame of reference, y along y.
const ORIENTATION: &str = "1\\0\\0\\0\\1\\0";

/// Where a slice lies: towards z, or against it when the volume is left-handed.
fn position(volume: &Volume, slice: usize) -> String {
    let header = volume.header();
    let z = slice as f64 * header.spacing_mm[2];
    let z = if header.handedness == Handedness::Left { -z } else { z };
    // Products of a spacing have digits that mean nothing.
    format!("0\\0\\{}", decimal((z * 1e6).round() / 1e6))
}

/// A decimal string: at most 16 characters, as near as they come.
fn decimal(value: f64) -> String {
    const MOST: usize = 16;
    let plain = value.to_string();
    if plain.len() <= MOST {
        return plain;
    }
    let fits = |digits: usize| Some(format!("{value:.digits$e}")).filter(|text| text.len() <= MOST);
    (0..MOST).rev().find_map(fits).unwrap_or(plain)
}

fn base(volume: &Volume, label: &Label, class: &str, instance: usize) -> InMemDicomObject {
    let (date, time) =
        (label.acquired.strftime("%Y%m%d").to_string(), label.acquired.strftime("%H%M%S%.6f").to_string());
    let uid = |suffix: String| format!("{}{suffix}", label.series_uid);
    let mut object = InMemDicomObject::new_empty();
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, class.to_owned()),
        (tags::SOP_INSTANCE_UID, VR::UI, uid(format!(".{instance}"))),
        (tags::STUDY_INSTANCE_UID, VR::UI, uid(".0".to_owned())),
        (tags::SERIES_INSTANCE_UID, VR::UI, label.series_uid.clone()),
        (tags::STUDY_DATE, VR::DA, date.clone()),
        (tags::STUDY_TIME, VR::TM, time.clone()),
        (tags::CONTENT_DATE, VR::DA, date.clone()),
        (tags::CONTENT_TIME, VR::TM, time.clone()),
        (tags::ACQUISITION_DATE_TIME, VR::DT, format!("{date}{time}")),
        (tags::MODALITY, VR::CS, "MR".to_owned()),
        (tags::MANUFACTURER, VR::LO, label.device.manufacturer.clone()),
        (tags::MANUFACTURER_MODEL_NAME, VR::LO, label.device.model.clone()),
        (tags::DEVICE_SERIAL_NUMBER, VR::LO, label.device.serial.clone()),
        (tags::SOFTWARE_VERSIONS, VR::LO, label.device.software.clone()),
        (tags::STATION_NAME, VR::SH, label.device.station.clone()),
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\OTHER\\NONE".to_owned()),
        (tags::PATIENT_ID, VR::LO, label.egg_id.clone()),
        (tags::PATIENT_NAME, VR::PN, format!("EGG^{}", label.egg_id)),
        (tags::PATIENT_BIRTH_DATE, VR::DA, String::new()),
        (tags::PATIENT_SEX, VR::CS, String::new()),
        (tags::PATIENT_SPECIES_DESCRIPTION, VR::LO, "Gallus gallus".to_owned()),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, String::new()),
        (tags::ACCESSION_NUMBER, VR::SH, String::new()),
        (tags::STUDY_ID, VR::SH, String::new()),
        (tags::SERIES_NUMBER, VR::IS, "1".to_owned()),
        (tags::INSTANCE_NUMBER, VR::IS, instance.to_string()),
        (tags::FRAME_OF_REFERENCE_UID, VR::UI, uid(".0.1".to_owned())),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
    ] {
        put(&mut object, tag, vr, value);
    }
    let [columns, rows, _] = volume.header().dims;
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, rows as u16),
        (tags::COLUMNS, columns as u16),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    object
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: String) {
    object.put(text(tag, vr, value));
}

fn text(tag: Tag, vr: VR, value: String) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

fn item<const N: usize>(elements: [DataElement<InMemDicomObject>; N]) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn pixels(object: &mut InMemDicomObject, samples: &[u8]) {
    let words: Vec<u16> = samples.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect();
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())));
}

fn file(object: InMemDicomObject, label: &Label) -> Result<Vec<u8>, Error> {
    let error =
        |e: &dyn std::error::Error| Error::Write { series: label.series_uid.clone(), detail: e.to_string() };
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let object = object.with_meta(meta).map_err(|e| error(&e))?;
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).map_err(|e| error(&e))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_strings_fit_and_stay_near() {
        for value in [0.0, 2.8, -40.25, 1.0 / 3.0, 2.0e-5 / 7.0, -123_456_789.123_456_78, 65_535.0 / 7e12] {
            let text = decimal(value);
            let back: f64 = text.parse().unwrap();
            assert!(text.len() <= 16 && (back - value).abs() <= 1e-7 * value.abs(), "{value} became {text}");
        }
    }
}
