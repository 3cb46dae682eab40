//! A small volume, and ways to write it otherwise.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use ovomesh_imaging::{
    Error, Header, Volume,
    dicom::{self, Device, Label, Series, series_uid, write_enhanced, write_series},
};

pub(crate) fn label() -> Label {
    Label {
        series_uid: series_uid(0x00c0_ffee),
        egg_id: "EGG-0042".to_owned(),
        acquired: "2026-11-24T09:30:15.25".parse().expect("a time"),
        device: Device {
            manufacturer: "Ovomesh".to_owned(),
            model: "Phantom".to_owned(),
            serial: "7".to_owned(),
            software: "0.1".to_owned(),
            station: "LINE-1".to_owned(),
        },
    }
}

/// 10 x 8 x 5 samples, each another one.
pub(crate) fn volume() -> Volume {
    let header = Header { slope: 0.5, intercept: -3.0, ..Header::new([10, 8, 5], [1.25, 1.0, 2.8]) };
    let samples: Vec<u16> = (0..header.len() as u16).map(|i| i * 7 + 3).collect();
    Volume::from_u16(header, &samples).expect("valid")
}

pub(crate) fn enhanced() -> Vec<u8> {
    write_enhanced(&volume(), &label()).expect("written")
}

pub(crate) fn slices() -> Vec<Vec<u8>> {
    write_series(&volume(), &label()).expect("written")
}

/// Reads files that make one series or one error. They are called 0, 1, 2 ...
pub(crate) fn read(files: &[Vec<u8>]) -> Result<Series, Error> {
    let names: Vec<String> = (0..files.len()).map(|i| i.to_string()).collect();
    let mut read = dicom::read(names.iter().map(String::as_str).zip(files.iter().map(Vec::as_slice)), &[]);
    assert_eq!(read.len(), 1, "{read:?}");
    let series = read.remove(0).map_err(|unusable| unusable.error)?;
    series.must_be_whole(None)?;
    Ok(series)
}

/// Changes a file's data set and writes it again in its own, or another, transfer syntax.
pub(crate) fn edit(
    bytes: &[u8],
    syntax: Option<&str>,
    change: impl FnOnce(&mut InMemDicomObject),
) -> Vec<u8> {
    let object = dicom_object::OpenFileOptions::new().from_reader(bytes).expect("readable");
    let syntax = syntax.map_or_else(|| object.meta().transfer_syntax().to_owned(), str::to_owned);
    let mut object = object.into_inner();
    change(&mut object);
    let object = object.with_meta(FileMetaTableBuilder::new().transfer_syntax(syntax)).expect("complete");
    let mut out = Vec::new();
    object.write_all(&mut out).expect("written");
    out
}

pub(crate) fn text(tag: Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

pub(crate) fn number(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

pub(crate) fn words(words: Vec<u16>) -> DataElement<InMemDicomObject> {
    DataElement::new(Tag(0x7FE0, 0x0010), VR::OW, PrimitiveValue::U16(words.into()))
}

/// The samples as real values.
pub(crate) fn real(volume: &Volume) -> Vec<f64> {
    let (samples, _) = volume.samples().as_chunks::<2>();
    let header = volume.header();
    samples.iter().map(|&b| f64::from(u16::from_le_bytes(b)) * header.slope + header.intercept).collect()
}

pub(crate) fn stored(volume: &Volume) -> Vec<u16> {
    volume.samples().as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect()
}
