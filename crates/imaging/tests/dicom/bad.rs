//! Bad input: an error that names the file, the attribute, its value and what to do; never a panic.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use ovomesh_imaging::{
    Error,
    dicom::{self, Limits, Reader},
};
use proptest::prelude::*;

use crate::support::{edit, enhanced, number, read, slices, text, volume, words};

#[test]
fn each_wrong_attribute_is_named_with_its_value() {
    type Change = fn(&mut InMemDicomObject);
    let table: [(&str, Change); 14] = [
        ("Modality (0008,0060) is CT; only MR", |o| _ = o.put(text(tags::MODALITY, VR::CS, "CT"))),
        ("Modality (0008,0060) is missing", |o| {
            o.remove_element(tags::MODALITY);
            o.put(text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE));
        }),
        ("PhotometricInterpretation (0028,0004) is RGB", |o| {
            o.put(text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"));
            o.put(number(tags::SAMPLES_PER_PIXEL, 3));
        }),
        ("SamplesPerPixel (0028,0002) is 3", |o| _ = o.put(number(tags::SAMPLES_PER_PIXEL, 3))),
        ("Rows (0028,0010) is 4; 8 to 512", |o| _ = o.put(number(tags::ROWS, 4))),
        ("Columns (0028,0011) is 1024; 8 to 512", |o| _ = o.put(number(tags::COLUMNS, 1024))),
        ("BitsAllocated (0028,0100) is 32", |o| _ = o.put(number(tags::BITS_ALLOCATED, 32))),
        ("BitsStored (0028,0101) is 17", |o| _ = o.put(number(tags::BITS_STORED, 17))),
        ("NumberOfFrames (0028,0008) is 99999", |o| _ = o.put(text(tags::NUMBER_OF_FRAMES, VR::IS, "99999"))),
        ("NumberOfFrames (0028,0008) is many", |o| _ = o.put(text(tags::NUMBER_OF_FRAMES, VR::IS, "many"))),
        ("there are 800 bytes of 960", |o| _ = o.put(text(tags::NUMBER_OF_FRAMES, VR::IS, "6"))),
        ("PerFrameFunctionalGroupsSequence (5200,9230) is 5 items; there are 4 frames", |o| {
            o.put(text(tags::NUMBER_OF_FRAMES, VR::IS, "4"));
        }),
        ("ImageOrientationPatient (0020,0037) is missing; without it left and right", |o| {
            o.remove_element(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        }),
        ("SeriesInstanceUID (0020,000E) is missing", |o| _ = o.remove_element(tags::SERIES_INSTANCE_UID)),
    ];
    for (named, change) in table {
        let error = read(&[edit(&enhanced(), None, change)]).expect_err(named).to_string();
        assert!(error.starts_with("0: ") && error.contains(named), "{error:?} is not {named:?}");
    }
}

#[test]
fn each_wrong_place_is_named_with_its_value() {
    for (tag, value) in [
        (tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0"),
        (tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\1\\0\\0"),
        (tags::IMAGE_POSITION_PATIENT, "0\\0\\north"),
        (tags::PIXEL_SPACING, "nan\\1"),
        (tags::RESCALE_SLOPE, "0"),
    ] {
        let mut files = slices();
        files[3] = edit(&files[3], None, |o| _ = o.put(text(tag, VR::DS, value)));
        let error = read(&files).expect_err(value);
        let Error::Attribute { file, .. } = &error else { panic!("{error:?}") };
        assert_eq!(file, "3", "{error}");
    }
}

#[test]
fn spacing_out_of_range_is_refused() {
    let files: Vec<Vec<u8>> = slices()
        .iter()
        .map(|f| edit(f, None, |o| _ = o.put(text(tags::PIXEL_SPACING, VR::DS, "0\\0"))))
        .collect();
    let error = read(&files).expect_err("no spacing").to_string();
    assert!(error.contains("0.05 to 20 mm"), "{error}");
}

#[test]
fn a_series_with_a_cut_off_file_is_an_error_as_a_whole() {
    let mut files = slices();
    let length = files[4].len();
    files[4].truncate(length - 100);
    let error = read(&files).expect_err("cut off").to_string();
    assert_eq!(error, "4: cut off: PixelData (7FE0,0010) has 160 bytes, 60 of them are there; send it whole");
}

#[test]
fn what_is_no_dicom_says_so() {
    for junk in [&b""[..], b"DICM", b"\x89PNG\r\n\x1a\n", &[0; 4000]] {
        let error = dicom::read([("junk", junk)], &[]).remove(0).expect_err("junk").error;
        assert!(matches!(error, Error::NotDicom { .. } | Error::Truncated { .. }), "{error}");
    }
    let error =
        dicom::read_files(&["/nowhere/egg.dcm"], &[]).remove(0).expect_err("absent").error.to_string();
    assert!(error.starts_with("/nowhere/egg.dcm: cannot be read"), "{error}");
}

#[test]
fn a_length_of_gigabytes_takes_no_memory() {
    let mut file = enhanced();
    let at = file.windows(4).rposition(|w| w == [0xE0, 0x7F, 0x10, 0x00]).expect("pixel data");
    file[at + 8..at + 12].copy_from_slice(&0xF000_0000u32.to_le_bytes());
    let error = read(&[file]).expect_err("too long").to_string();
    assert!(error.contains("4026531840 bytes"), "{error}");
}

#[test]
fn sequences_without_end_are_refused() {
    let mut inner = InMemDicomObject::new_empty();
    for _ in 0..200 {
        let items = DataSetSequence::from(vec![inner]);
        inner = InMemDicomObject::from_element_iter([DataElement::new(Tag(0x0040, 0xA730), VR::SQ, items)]);
    }
    let file = edit(&enhanced(), None, |o| _ = o.put(inner.take(Tag(0x0040, 0xA730)).expect("just made")));
    let error = read(&[file]).expect_err("too deep").to_string();
    assert!(error.contains("more than 32 deep"), "{error}");
}

/// The header of an element of the data set: its tag, and VR and length as they are written.
fn element(group: u16, number: u16, rest: &[u8]) -> Vec<u8> {
    [&group.to_le_bytes()[..], &number.to_le_bytes(), rest].concat()
}

/// A file with something between the header and the samples.
fn with(inserted: &[u8]) -> Vec<u8> {
    let file = enhanced();
    let at = file.windows(4).rposition(|w| w == [0xE0, 0x7F, 0x10, 0x00]).expect("pixel data");
    [&file[..at], inserted, &file[at..]].concat()
}

#[test]
fn bytes_that_are_another_length_to_another_reader_take_no_memory() {
    // 16,975 is "OB" followed by two zeros. Who reads this content with VRs, as a part of what is around it, takes the
    // first bytes of the value for a length of 3.75 GiB. By CP-246 it has none.
    let value = [&0xF000_0000u32.to_le_bytes()[..], &[0; 16_971]].concat();
    let unknown = element(0x0009, 0x0010, &[&16_975u32.to_le_bytes()[..], &value].concat());
    let item = element(0xFFFE, 0xE000, &[&(unknown.len() as u32).to_le_bytes()[..], &unknown].concat());
    let end = element(0xFFFE, 0xE0DD, &[0; 4]);
    let inner = [element(0x0040, 0x0555, b"UN\0\0\xFF\xFF\xFF\xFF"), item, end].concat();
    let item = element(0xFFFE, 0xE000, &[&(inner.len() as u32).to_le_bytes()[..], &inner].concat());
    let rest = [b"SQ\0\0", &(item.len() as u32).to_le_bytes()[..], &item].concat();
    let file = with(&element(0x0040, 0xA730, &rest));
    assert_eq!(read(&[file]).expect("it is sound").volume, volume());
}

#[test]
fn a_header_is_limited_and_what_nobody_reads_does_not_count() {
    let item = element(0xFFFE, 0xE000, &[0; 4]);
    let sequence = |group, items: usize| {
        let length = ((items * item.len()) as u32).to_le_bytes();
        with(&element(group, 0x0010, &[b"SQ\0\0", &length[..], &item.repeat(items)].concat()))
    };
    let limits = Limits { volume_bytes: 1 << 20, volumes: 2 };
    let read = |file: Vec<u8>| Reader::new(&[]).within(limits).read([("f", &file[..])]).remove(0);
    let error = read(sequence(0x7001, 200_000)).map(|_| ());
    assert_eq!(error, Ok(()), "private");
    let error = read(sequence(0x7000, 200_000)).expect_err("1.6 MB become 3.2 MB").error.to_string();
    assert!(error.contains("header has more than 1048576 bytes"), "{error}");
}

#[test]
fn what_a_file_becomes_is_limited_by_the_largest_volume() {
    let limits = Limits { volume_bytes: 1 << 20, volumes: 1 };
    let read = |files: &[&[u8]]| {
        Reader::new(&[]).within(limits).read(files.iter().map(|file| ("f", *file))).remove(0)
    };
    let zeros = |bytes| {
        edit(&enhanced(), Some(uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), |o| {
            o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(vec![0; bytes].into())));
        })
    };
    assert_eq!(read(&[&zeros(800)]).map(|_| ()), Ok(()));
    let bomb = zeros(64 << 20);
    assert!(bomb.len() < 1_000_000);
    let error = read(&[&bomb]).expect_err("64 MiB").error.to_string();
    assert!(error.contains("inflates to more than 5242880 bytes"), "{error}");
    // Each file is small enough, and its volume is; all of them together are not.
    let large = edit(&enhanced(), None, |o| {
        o.put(number(tags::ROWS, 512));
        o.put(number(tags::COLUMNS, 400));
        o.put(words(vec![1; 512 * 400 * 5]));
    });
    assert_eq!(read(&[&large]).map(|_| ()), Ok(()));
    let error = read(&[&large[..]; 3]).expect_err("6 MiB").error.to_string();
    assert!(error.contains("more than 5242880 bytes"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_cut_anywhere_is_an_error(at in 0usize..1, syntax in 0usize..3, share in 0.0f64..1.0) {
        let syntaxes = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN];
        let mut file = edit(&enhanced(), Some(syntaxes[syntax]), |_| ());
        let keep = at + (share * file.len() as f64) as usize;
        file.truncate(keep);
        prop_assert!(read(&[file]).is_err());
    }

    #[test]
    fn a_file_with_wrong_bytes_is_no_panic(places in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..12)) {
        let mut file = enhanced();
        for (share, byte) in places {
            let at = 132 + (share * (file.len() - 132) as f64) as usize;
            file[at] = byte;
        }
        let _ = dicom::read([("mutated", file.as_slice())], &[]);
    }

    #[test]
    fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let file = [vec![0; 128], b"DICM".to_vec(), enhanced()[132..300].to_vec(), noise].concat();
        let _ = dicom::read([("noise", file.as_slice())], &[]);
    }
}
