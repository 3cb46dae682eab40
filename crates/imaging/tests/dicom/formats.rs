//! Transfer syntaxes and ways to store samples.

use dicom_core::{DataElement, DicomValue, PrimitiveValue, Tag, VR, value::PixelFragmentSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;

use ovomesh_imaging::Volume;

use crate::support::{edit, enhanced, number, read, real, slices, stored, text, volume, words};

#[test]
fn every_native_transfer_syntax_gives_the_same_volume() {
    let big_endian = "1.2.840.10008.1.2.2";
    for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, big_endian] {
        let series = read(&[edit(&enhanced(), Some(syntax), |_| ())]).expect("readable");
        assert_eq!(series.volume, volume(), "{syntax}");
    }
}

/// A frame in RLE Lossless: the high bytes, then the low bytes, as literal runs.
fn rle(samples: &[u16]) -> Vec<u8> {
    let segment = |byte: fn(u16) -> u8| -> Vec<u8> {
        let bytes: Vec<u8> = samples.iter().map(|&v| byte(v)).collect();
        let mut out: Vec<u8> =
            bytes.chunks(128).flat_map(|run| [vec![run.len() as u8 - 1], run.to_vec()].concat()).collect();
        out.resize(out.len().next_multiple_of(2), 0x80);
        out
    };
    let (high, low) = (segment(|v| (v >> 8) as u8), segment(|v| v as u8));
    let mut header = [0u32; 16];
    (header[0], header[1], header[2]) = (2, 64, 64 + high.len() as u32);
    [header.iter().flat_map(|v| v.to_le_bytes()).collect(), high, low].concat()
}

fn rle_file() -> Vec<u8> {
    edit(&enhanced(), Some(uids::RLE_LOSSLESS), |o| {
        let frames: Vec<Vec<u8>> = stored(&volume()).chunks(80).map(rle).collect();
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(frames));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    })
}

#[test]
fn rle_gives_the_same_volume() {
    assert_eq!(read(&[rle_file()]).expect("readable").volume, volume());
}

#[test]
fn a_damaged_rle_frame_is_an_error_and_no_panic() {
    let file = edit(&rle_file(), None, |o| {
        let mut frames: Vec<Vec<u8>> = stored(&volume()).chunks(80).map(rle).collect();
        frames[2].truncate(90);
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(frames));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    });
    let error = read(&[file]).expect_err("damaged").to_string();
    assert!(error.contains("1.2.840.10008.1.2.5") && error.contains("cannot be decoded"), "{error}");
}

#[test]
fn a_frame_of_another_size_than_its_file_is_never_decoded() {
    let file = edit(&rle_file(), Some(uids::JPEG2000_LOSSLESS), |o| {
        let siz =
            [&[0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0][..], &[0, 0, 0xFF, 0xFF].repeat(2), &[0; 40]].concat();
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(vec![siz; 5]));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    });
    let error = read(&[file]).expect_err("too large").to_string();
    assert!(error.contains("a frame says it is 65535x65535, the file says 10x8"), "{error}");
}

#[test]
fn a_transfer_syntax_without_a_decoder_is_named() {
    let file = edit(&rle_file(), Some("1.2.840.10008.1.2.4.80"), |_| ()); // JPEG-LS
    let error = read(&[file]).expect_err("no decoder").to_string();
    assert!(error.contains("1.2.840.10008.1.2.4.80"), "{error}");
}

#[test]
fn signed_samples_keep_their_real_values() {
    let values: Vec<i16> = (0..400).map(|i| i * 5 - 700).collect();
    let file = edit(&enhanced(), None, |o| {
        o.put(number(tags::PIXEL_REPRESENTATION, 1));
        o.put(words(values.iter().map(|&v| v as u16).collect()));
    });
    let expected: Vec<f64> = values.iter().map(|&v| f64::from(v) * 0.5 - 3.0).collect();
    assert_eq!(real(&read(&[file]).expect("readable").volume), expected);
}

#[test]
fn signed_samples_that_are_never_negative_stay_as_they_are() {
    let file = edit(&enhanced(), None, |o| _ = o.put(number(tags::PIXEL_REPRESENTATION, 1)));
    assert_eq!(read(&[file]).expect("readable").volume, volume());
}

#[test]
fn bits_are_taken_from_where_they_are_stored() {
    // 12 bits in the upper part of the word, and rubbish (overlays of old) below.
    let file = edit(&enhanced(), None, |o| {
        o.put(number(tags::BITS_STORED, 12));
        o.put(number(tags::HIGH_BIT, 15));
        o.put(words(stored(&volume()).iter().map(|v| v << 4 | 9).collect()));
    });
    assert_eq!(read(&[file]).expect("readable").volume, volume());
}

#[test]
fn bytes_are_samples_too() {
    let bytes: Vec<u8> = (0..400).map(|i| (i % 251) as u8).collect();
    let file = edit(&enhanced(), None, |o| {
        o.put(number(tags::BITS_ALLOCATED, 8));
        o.put(number(tags::BITS_STORED, 8));
        o.put(number(tags::HIGH_BIT, 7));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.clone().into())));
    });
    let expected: Vec<u16> = bytes.iter().map(|&b| u16::from(b)).collect();
    assert_eq!(stored(&read(&[file]).expect("readable").volume), expected);
}

#[test]
fn monochrome1_is_turned_round() {
    let files: Vec<Vec<u8>> = slices()
        .iter()
        .map(|file| {
            edit(file, None, |o| _ = o.put(text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1")))
        })
        .collect();
    let expected: Vec<u16> = stored(&volume()).iter().map(|v| 65_535 - v).collect();
    assert_eq!(stored(&read(&files).expect("readable").volume), expected);
}

#[test]
fn zeros_after_the_data_are_padding() {
    for zeros in [1, 7, 100] {
        let file = [enhanced(), vec![0; zeros]].concat();
        assert_eq!(read(&[file]).expect("readable").volume, volume(), "{zeros} zeros");
    }
}

/// The value of an attribute as its bytes are in a file.
fn raw(object: &InMemDicomObject, tag: Tag) -> Vec<u8> {
    let value = object.element(tag).expect("it is there").to_bytes().expect("a value").into_owned();
    if value.len() % 2 == 1 { [value, vec![b' ']].concat() } else { value }
}

#[test]
fn attributes_that_an_archive_did_not_know_are_what_they_are() {
    let attributes = [
        tags::MODALITY,
        tags::PATIENT_ID,
        tags::SERIES_INSTANCE_UID,
        tags::IMAGES_IN_ACQUISITION,
        tags::ACQUISITION_DATE_TIME,
        tags::ROWS,
        tags::COLUMNS,
        tags::BITS_ALLOCATED,
        tags::BITS_STORED,
        tags::HIGH_BIT,
        tags::SAMPLES_PER_PIXEL,
        tags::PIXEL_REPRESENTATION,
        tags::PHOTOMETRIC_INTERPRETATION,
        tags::PIXEL_SPACING,
        tags::IMAGE_POSITION_PATIENT,
        tags::IMAGE_ORIENTATION_PATIENT,
        tags::RESCALE_SLOPE,
        tags::RESCALE_INTERCEPT,
    ];
    let expected = read(&slices()).expect("readable");
    for tag in attributes {
        let files: Vec<_> = slices()
            .iter()
            .map(|file| {
                edit(file, None, |o| {
                    let value = raw(o, tag);
                    o.put(DataElement::new(tag, VR::UN, PrimitiveValue::U8(value.into())));
                })
            })
            .collect();
        assert_eq!(read(&files).unwrap_or_else(|error| panic!("{tag:?}: {error}")), expected, "{tag:?}");
    }
}

#[test]
fn text_in_another_vr_is_read_as_what_it_is() {
    let expected = read(&slices()).expect("readable");
    for vr in [VR::UT, VR::LT, VR::ST, VR::LO, VR::UC] {
        for tag in [tags::PIXEL_SPACING, tags::IMAGE_ORIENTATION_PATIENT, tags::RESCALE_SLOPE, tags::ROWS] {
            let files: Vec<_> = slices()
                .iter()
                .map(|file| {
                    edit(file, None, |o| {
                        let value = o.element(tag).expect("it is there").to_str().expect("text").into_owned();
                        o.put(text(tag, vr, &value));
                    })
                })
                .collect();
            assert_eq!(read(&files).unwrap_or_else(|error| panic!("{tag:?} as {vr}: {error}")), expected);
        }
    }
}

/// A data set without its file meta group, in implicit VR little endian.
fn implicit(object: &InMemDicomObject) -> Vec<u8> {
    let mut bytes = Vec::new();
    object.write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased()).expect("written");
    bytes
}

/// A file in which sequences are UN of undefined length, as CP-246 has it: the functional groups and, around the
/// samples, a private one.
fn unknown_sequences() -> Vec<u8> {
    let groups = [tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE];
    let mut sequences = Vec::new();
    let without = edit(&enhanced(), None, |o| {
        for tag in groups {
            let sequence = o.take_element(tag).expect("it is there");
            sequences.push(implicit(&InMemDicomObject::from_element_iter([sequence])));
        }
    });
    let mut private = sequences[0].clone();
    private[..2].copy_from_slice(&[0x09, 0x00]);
    sequences.insert(0, private);
    // Groups 0009 and 5200 lie around the rest of the file: 0008, and then 7FE0 with the samples.
    let unknown = |implicit: &Vec<u8>| {
        assert_eq!(implicit[4..8], [0xFF; 4], "of undefined length");
        [&implicit[..4], b"UN\0\0", &implicit[4..]].concat()
    };
    let at = |group: [u8; 2], vr: &[u8; 2], element: [u8; 2]| {
        let header = [group[0], group[1], element[0], element[1], vr[0], vr[1]];
        without.windows(6).position(|bytes| bytes == header).expect("it is there")
    };
    let (patient, pixels) = (at([0x10, 0], b"PN", [0x10, 0]), at([0xE0, 0x7F], b"OW", [0x10, 0]));
    let mut file = without[..patient].to_vec();
    file.extend(unknown(&sequences[0]));
    file.extend_from_slice(&without[patient..pixels]);
    sequences[1..].iter().for_each(|sequence| file.extend(unknown(sequence)));
    file.extend_from_slice(&without[pixels..]);
    file
}

#[test]
fn sequences_that_an_archive_did_not_know_are_what_they_are() {
    let series = read(&[unknown_sequences()]).expect("readable");
    assert_eq!(series, read(&[enhanced()]).expect("readable"));
}

#[test]
fn an_unknown_sequence_that_is_cut_off_is_an_error_and_no_panic() {
    let file = unknown_sequences();
    for end in (140..file.len()).step_by(7) {
        assert!(read(&[file[..end].to_vec()]).is_err(), "at {end}");
    }
}

#[test]
fn a_data_set_may_end_like_an_item() {
    let delimiter = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0];
    let files: Vec<_> = slices().iter().map(|file| [&file[..], &delimiter].concat()).collect();
    assert_eq!(read(&files).expect("readable").volume, volume());
    let filled = [&enhanced()[..], &delimiter, &[0; 512]].concat();
    assert_eq!(read(&[filled]).expect("readable").volume, volume());
}

#[test]
fn padding_is_no_signal() {
    let samples: Vec<u16> = (0..400).map(|i| i + 5).collect();
    let expected = Volume::from_u16(
        volume().header().to_owned(),
        &samples.iter().map(|&v| if v < 15 { 0 } else { v }).collect::<Vec<_>>(),
    )
    .expect("valid");
    let stored = |padding: u16, limit: Option<u16>| {
        let words_of = samples.iter().map(|&v| if v < 15 { padding } else { v }).collect();
        let file = edit(&enhanced(), None, |o| {
            o.put(words(words_of));
            o.put(number(tags::PIXEL_PADDING_VALUE, padding));
            limit.into_iter().for_each(|limit| _ = o.put(number(tags::PIXEL_PADDING_RANGE_LIMIT, limit)));
        });
        read(&[file]).expect("readable").volume
    };
    assert_eq!(stored(65_535, None), expected);
    assert_eq!(stored(60_000, Some(65_535)), expected);
    assert_eq!(stored(65_535, Some(60_000)), expected);
}
