//! From files to one volume: order, handedness, gaps, identity.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use ovomesh_imaging::{Handedness, Header, Volume, dicom};

use crate::support::{edit, enhanced, label, read, real, slices, text, volume, words};

#[test]
fn an_enhanced_file_comes_back_as_it_was_written() {
    let series = read(&[enhanced()]).expect("readable");
    assert_eq!(series.volume, volume());
    assert_eq!((series.uid, series.egg_id), (label().series_uid, Some("EGG-0042".to_owned())));
    assert_eq!(series.device, label().device);
    assert_eq!(series.acquired.expect("stated").local, label().acquired);
    assert_eq!((series.files, series.notes), (vec!["0".to_owned()], Vec::<String>::new()));
}

#[test]
fn single_images_are_sorted_by_their_place_whatever_their_order() {
    let mut files = slices();
    files.swap(0, 3);
    files.swap(1, 4);
    let series = read(&files).expect("readable");
    assert_eq!(series.volume, volume());
    assert_eq!(series.files.len(), 5);
}

#[test]
fn a_left_handed_volume_becomes_the_right_handed_one_of_the_same_egg() {
    let left = Header { handedness: Handedness::Left, ..*volume().header() };
    let left = Volume::new(left, volume().samples().clone()).expect("valid");
    let plane = 2 * 10 * 8;
    let turned: Vec<u8> = volume().samples().chunks_exact(plane).rev().flatten().copied().collect();
    let expected = Volume::new(*volume().header(), turned.into()).expect("valid");
    let single = dicom::write_series(&left, &label()).expect("written");
    for files in [vec![dicom::write_enhanced(&left, &label()).expect("written")], single] {
        assert_eq!(read(&files).expect("readable").volume, expected);
    }
}

/// The slices with another orientation, where the header says so: `[x, y]` in the patient's frame.
fn oriented(orientation: [[f64; 3]; 2]) -> Vec<Vec<u8>> {
    let [x, y] = orientation;
    let normal = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    let texts = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join("\\");
    let put = |(i, file): (usize, &Vec<u8>)| {
        edit(file, None, |o| {
            o.put(text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &texts(&[x, y].concat())));
            let position = normal.map(|along| 2.8 * i as f64 * along + 7.0);
            o.put(text(tags::IMAGE_POSITION_PATIENT, VR::DS, &texts(&position)));
        })
    };
    slices().iter().enumerate().map(put).collect()
}

#[test]
fn a_stack_may_point_anywhere_and_says_where() {
    let table = [
        // Columns run the other way, and so do the slices.
        ([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [(0, true), (1, false), (2, true)]),
        // Rows and columns are swapped.
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [(1, false), (0, false), (2, true)]),
        // Coronal, from the feet up: the slices run to the front, which is against y.
        ([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [(0, false), (2, true), (1, false)]),
        ([[0.96, 0.28, 0.0], [-0.28, 0.96, 0.0]], [(0, false), (1, false), (2, false)]),
    ];
    for (orientation, axes) in table {
        let series = read(&oriented(orientation)).expect("readable");
        assert_eq!(series.axes, axes, "{orientation:?}");
        assert_eq!(series.volume.samples(), volume().samples(), "{orientation:?}");
    }
}

#[test]
fn several_series_come_in_the_order_of_their_first_files() {
    let (one, mut other) = (slices(), label());
    other.series_uid = dicom::series_uid(7);
    let other = dicom::write_enhanced(&volume(), &other).expect("written");
    let mut files: Vec<(&str, &[u8])> = vec![("junk", b"not a DICOM file"), ("other", other.as_slice())];
    files.extend(one.iter().map(|f| ("one", f.as_slice())));
    let read = dicom::read(files, &[]);
    let uids: Vec<Option<&str>> = read.iter().map(|r| r.as_ref().ok().map(|s| s.uid.as_str())).collect();
    assert_eq!(uids, [None, Some("2.25.7"), Some(label().series_uid.as_str())]);
}

#[test]
fn a_missing_slice_is_named_by_its_neighbours() {
    let mut files = slices();
    files.remove(2);
    let error = read(&files).expect_err("a gap").to_string();
    assert!(
        error.contains("5.60 mm apart, others 2.80") && error.contains("about 1 slice(s) are missing"),
        "{error}"
    );
    assert!(error.contains("(1, 2)"), "{error} names the files");
}

#[test]
fn too_few_slices_say_to_send_the_series() {
    let error = read(&slices()[..1]).expect_err("one slice").to_string();
    assert!(error.contains("1 slice(s), a scan has 4 to 512; send all images"), "{error}");
}

/// The slices, each changed, with an instance number of their own.
fn others(change: impl Fn(&mut dicom_object::InMemDicomObject)) -> Vec<Vec<u8>> {
    slices().iter().map(|file| edit(file, None, |o| change(o))).collect()
}

fn put(tag: dicom_core::Tag, vr: VR, value: &str) -> impl Fn(&mut dicom_object::InMemDicomObject) {
    move |o| {
        o.put(text(tag, vr, value));
        o.put(text(tags::RESCALE_SLOPE, VR::DS, "0.25"));
    }
}

#[test]
fn one_whole_contrast_is_used_and_that_is_said() {
    let table = [
        (tags::ECHO_NUMBERS, VR::IS, "1", "2"),
        (tags::ECHO_TIME, VR::DS, "4.6", "9.2"),
        (tags::DIFFUSION_B_VALUE, VR::FD, "0", "800"),
        (tags::TEMPORAL_POSITION_IDENTIFIER, VR::IS, "1", "2"),
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\M\\FFE", "ORIGINAL\\PRIMARY\\P\\FFE"),
    ];
    for (tag, vr, used, other) in table {
        let set = |value: &'static str, slope: &'static str, at: &'static str| {
            others(move |o| {
                match vr {
                    VR::FD => {
                        o.put(DataElement::new(tag, vr, PrimitiveValue::from(value.parse::<f64>().unwrap())))
                    }
                    _ => o.put(text(tag, vr, value)),
                };
                o.put(text(tags::RESCALE_SLOPE, VR::DS, slope));
                let z = o.element(tags::IMAGE_POSITION_PATIENT).unwrap().to_multi_float64().unwrap()[2];
                o.put(text(
                    tags::IMAGE_POSITION_PATIENT,
                    VR::DS,
                    &format!("0\\0\\{}", z + at.parse::<f64>().unwrap()),
                ));
            })
        };
        // Also where the other one lies a little before each slice.
        for at in ["0", "-0.003"] {
            let mut files = set(other, "0.25", at);
            files.extend(set(used, "0.5", "0"));
            let series = read(&files).expect("readable");
            assert_eq!(series.volume, volume(), "{tag:?} {at}");
            assert!(series.notes[0].starts_with("2 contrasts, by "), "{:?}", series.notes);
        }
    }
}

#[test]
fn contrasts_that_no_rule_chooses_from_are_named() {
    for (tag, vr, name) in [
        (tags::INVERSION_TIME, VR::DS, "InversionTime"),
        (tags::ACQUISITION_NUMBER, VR::IS, "AcquisitionNumber"),
    ] {
        let mut files = others(put(tag, vr, "1"));
        files.extend(others(put(tag, vr, "2")));
        let error = read(&files).expect_err("two contrasts").to_string();
        assert!(error.contains(&format!("2 contrasts, by {name}")), "{error}");
        // From slice to slice they may differ.
        let mut files = slices();
        files[3] = edit(&files[3], None, |o| _ = o.put(text(tag, vr, "2")));
        assert_eq!(read(&files).expect("one stack").volume, volume());
    }
}

#[test]
fn a_stack_of_two_contrasts_is_none() {
    let mut files = slices();
    for file in &mut files[3..] {
        *file = edit(file, None, |o| _ = o.put(text(tags::ECHO_TIME, VR::DS, "9.2")));
    }
    let error = read(&files).expect_err("two contrasts").to_string();
    assert!(error.contains("2 contrasts, by EchoTime (0018,0081)"), "{error}");
    // The shorter echo lacks a slice.
    let mut files = others(put(tags::ECHO_TIME, VR::DS, "9.2"));
    files.extend(others(put(tags::ECHO_TIME, VR::DS, "4.6")).into_iter().take(4));
    let error = read(&files).expect_err("a slice is missing").to_string();
    assert!(error.contains("has not all slices"), "{error}");
}

#[test]
fn an_image_that_comes_twice_is_one_and_another_at_its_place_is_refused() {
    let mut files = slices();
    files.extend(slices());
    let series = read(&files).expect("readable");
    assert_eq!((series.volume, series.notes.len()), (volume(), 1));
    let mut files = slices();
    files.push(edit(&files[2], None, |o| _ = o.put(words(vec![7; 80]))));
    let error = read(&files).expect_err("another image").to_string();
    assert!(error.contains("2 and 5 lie at the same place") || error.contains("5 and 2"), "{error}");
}

#[test]
fn images_of_two_eggs_are_no_series() {
    for (tag, vr) in [
        (tags::PATIENT_ID, VR::LO),
        (tags::STUDY_INSTANCE_UID, VR::UI),
        (tags::FRAME_OF_REFERENCE_UID, VR::UI),
    ] {
        for changed in [0..5, 3..5, 4..5] {
            let mut files = slices();
            for file in &slices()[changed] {
                files.push(edit(file, None, |o| _ = o.put(text(tag, vr, "1.2.3"))));
            }
            let error = read(&files).expect_err("two eggs").to_string();
            let name = keyword(tag);
            assert!(
                error.contains(name) && error.contains("1.2.3") && error.contains("several eggs"),
                "{error}"
            );
        }
    }
    // One image does not say whose it is.
    let mut files = slices();
    files[4] = edit(&files[4], None, |o| _ = o.put(text(tags::PATIENT_ID, VR::LO, "")));
    assert!(read(&files).expect_err("whose is it?").to_string().contains("is EGG-0042 and none"));
}

fn keyword(tag: dicom_core::Tag) -> &'static str {
    match tag {
        tags::PATIENT_ID => "PatientID",
        tags::STUDY_INSTANCE_UID => "StudyInstanceUID",
        _ => "FrameOfReferenceUID",
    }
}

#[test]
fn the_stated_number_of_images_must_be_there() {
    for missing in [0, 4] {
        let mut files = slices();
        files.remove(missing);
        let error = read(&files).expect_err("one is missing").to_string();
        assert!(error.contains("4 of the 5 images that ImagesInAcquisition (0020,1002) states"), "{error}");
    }
}

#[test]
fn slices_that_differ_are_no_stack() {
    type Change = (dicom_core::Tag, &'static str, &'static str);
    let table: [Change; 4] = [
        (tags::PIXEL_SPACING, "2\\2", "the pixel spacing differs"),
        (tags::IMAGE_ORIENTATION_PATIENT, "0\\1\\0\\0\\0\\1", "the orientation differs"),
        (tags::IMAGE_POSITION_PATIENT, "0\\0\\11.8", "not evenly spaced"),
        (tags::IMAGE_POSITION_PATIENT, "9\\0\\11.2", "shifted sideways"),
    ];
    for (tag, value, named) in table {
        let mut files = slices();
        files[4] = edit(&files[4], None, |o| _ = o.put(text(tag, VR::DS, value)));
        let error = read(&files).expect_err(named).to_string();
        assert!(error.contains(named), "{error} does not say that {named}");
    }
}

#[test]
fn frames_without_places_follow_one_another_and_that_is_said() {
    let plain = edit(&enhanced(), None, |o| {
        o.remove_element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        o.remove_element(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        o.put(text(tags::PIXEL_SPACING, VR::DS, "1\\1.25"));
        o.put(text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"));
        o.put(text(tags::IMAGE_POSITION_PATIENT, VR::DS, "0\\0\\0"));
        o.put(text(tags::SPACING_BETWEEN_SLICES, VR::DS, "2.8"));
    });
    let series = read(&[plain]).expect("readable");
    assert_eq!(series.volume.samples(), volume().samples());
    assert_eq!(series.notes.len(), 1);
}

#[test]
fn slices_rescaled_each_in_its_own_way_keep_their_real_values() {
    let files: Vec<Vec<u8>> = slices()
        .iter()
        .enumerate()
        .map(|(i, file)| {
            edit(file, None, |o| _ = o.put(text(tags::RESCALE_SLOPE, VR::DS, &format!("{}", 1 + i))))
        })
        .collect();
    let series = read(&files).expect("readable");
    let expected: Vec<f64> = crate::support::stored(&volume())
        .iter()
        .enumerate()
        .map(|(i, &v)| f64::from(v) * (1 + i / 80) as f64 - 3.0)
        .collect();
    let worst = real(&series.volume).iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 0.2, "{worst} of {}", expected[expected.len() - 1]);
    assert!(series.notes[0].contains("one scale"), "{:?}", series.notes);
}
