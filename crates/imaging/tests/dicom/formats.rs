//! Transfer syntaxes and ways to store samples.

use dicom_core::{DataElement, DicomValue, PrimitiveValue, VR, value::PixelFragmentSequence};
use dicom_dictionary_std::{tags, uids};

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
