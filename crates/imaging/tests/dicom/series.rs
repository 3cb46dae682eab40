//! From files to one volume: order, handedness, gaps, identity.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use ovomesh_imaging::{Handedness, Header, Volume, dicom};

use crate::support::{edit, enhanced, label, read, real, slices, text, volume};

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

#[test]
fn a_stack_may_point_anywhere() {
    // Coronal: x to the left, y to the feet; the normal is then x cross y = towards the front.
    let files: Vec<Vec<u8>> = slices()
        .iter()
        .enumerate()
        .map(|(i, file)| {
            edit(file, None, |o| {
                o.put(text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1"));
                o.put(text(
                    tags::IMAGE_POSITION_PATIENT,
                    VR::DS,
                    &format!("-5\\{}\\40", 7.0 + 2.8 * i as f64),
                ));
            })
        })
        .collect();
    assert_eq!(read(&files).expect("readable").volume, volume());
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

#[test]
fn images_at_one_place_are_taken_once_and_that_is_said() {
    let mut files = slices();
    let echoes: Vec<Vec<u8>> = files
        .iter()
        .map(|file| {
            edit(file, None, |o| {
                o.put(text(tags::ECHO_NUMBERS, VR::IS, "2"));
                o.put(text(tags::RESCALE_SLOPE, VR::DS, "0.25"));
            })
        })
        .collect();
    files.splice(0..0, echoes);
    let series = read(&files).expect("readable");
    assert_eq!(series.volume, volume());
    assert_eq!(series.notes, ["10 images lie at 5 positions; the first of each was used"]);
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
