//! `ovomesh send` with DICOM files of phantoms, against a gateway that checks what it gets.

#![allow(clippy::unwrap_used)] // helpers of tests fail them by panicking

mod common;

use std::path::Path;

use common::gateway::{Act, Gateway};
use common::{Ran, ovomesh};
use ovomesh_api::pb::scan::v1::Call;
use ovomesh_imaging::dicom::{Device, Label, series_uid, write_enhanced, write_series};
use ovomesh_imaging::{Header, Volume};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};
use serde_json::Value;

fn volume(seed: u64) -> Volume {
    let Grid { columns, rows, slices, spacing_mm } = Grid::STANDARD;
    let clean = Phantom::new(&Profile::nominal(), Class::Female, seed).render(&Grid::STANDARD);
    let samples = Scanner::default().acquire(&clean, &mut rng(seed));
    Volume::from_u16(Header::new([columns, rows, slices], spacing_mm), &samples).unwrap()
}

fn label(number: u128) -> Label {
    let acquired = jiff::civil::date(2026, 11, 24).at(9, 30, 0, 0);
    Label {
        series_uid: series_uid(number),
        egg_id: format!("egg-{number}"),
        acquired,
        device: Device::default(),
    }
}

/// One egg in one file, one in sixteen, and two files that are no scan.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let enhanced = write_enhanced(&volume(1), &label(1)).unwrap();
    write("one.dcm", &enhanced);
    write("readme.txt", b"not an image");
    std::fs::create_dir(folder.path().join("two")).unwrap();
    for (i, slice) in write_series(&volume(2), &label(2)).unwrap().iter().enumerate() {
        write(&format!("two/{i:02}.dcm"), slice);
    }
    std::fs::create_dir(folder.path().join("cut")).unwrap();
    let cut = write_enhanced(&volume(3), &label(3)).unwrap();
    write("cut/three.dcm", &cut[..cut.len() - 1_000]);
    folder
}

async fn send(gateway: &Gateway, path: &Path, flags: &str) -> Ran {
    ovomesh(&format!("--gateway {} send {} {flags}", gateway.url, path.display())).await
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn what_cannot_be_sent_is_listed_and_the_others_go() {
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let folder = folder();
    let ran = send(&gateway, folder.path(), "--output json --site north --line 7 --batch b1").await;
    assert!(ran.result.is_ok() && !ran.succeeded(), "{:?}", ran.result);
    let lines = lines(&ran);
    let verdicts: Vec<&Value> = lines.iter().filter(|line| line["call"] == "FEMALE").collect();
    let errors: Vec<String> =
        lines.iter().filter_map(|line| line["error"].as_str().map(str::to_owned)).collect();
    let rejected: Vec<&Value> = lines.iter().filter(|line| line["reason"] == "REJECTED").collect();
    assert_eq!((verdicts.len(), rejected.len(), errors.len()), (2, 1, 1), "{}", ran.printed);
    assert_eq!(
        verdicts[0]["files"].as_array().unwrap().len() + verdicts[1]["files"].as_array().unwrap().len(),
        17
    );
    assert!(errors[0].contains("readme.txt"), "no image: {errors:?}");
    assert_eq!(rejected[0]["call"], "UNDECIDED", "an image that nobody can judge");
    assert!(rejected[0]["detail"].as_str().unwrap().contains("three.dcm"), "{rejected:?}");
    // What the gateway got is what the phantom's scanner made, with the names from the files.
    let by_id = gateway.by_id();
    for number in [1, 2] {
        let seen = &by_id[&series_uid(number)][0].scan;
        let meta = &seen.meta;
        assert_eq!(meta.egg_id.as_ref().unwrap().as_str(), format!("egg-{number}"));
        assert_eq!(
            (meta.place.site().as_str(), meta.place.line().as_str(), meta.batch_id.as_str()),
            ("north", "7", "b1")
        );
        let expected = volume(number as u64);
        assert_eq!(seen.volume.dims(), [64, 64, 16]);
        assert_eq!(meta.image.checksum(), crc32c::crc32c(expected.samples()));
    }
}

#[tokio::test]
async fn an_image_is_sent_in_the_frame_that_its_header_states() {
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let folder = tempfile::tempdir().unwrap();
    let (axial, reversed) = (br"1\0\0\0\1\0 ", br"-1\0\0\0\1\0");
    for (i, slice) in write_series(&volume(4), &label(4)).unwrap().iter_mut().enumerate() {
        let at = slice.windows(axial.len()).position(|bytes| bytes == axial).unwrap();
        slice[at..at + reversed.len()].copy_from_slice(reversed);
        std::fs::write(folder.path().join(format!("{i:02}.dcm")), slice).unwrap();
    }
    let ran = send(&gateway, folder.path(), "").await;
    assert!(ran.succeeded(), "{}", ran.printed);
    let by_id = gateway.by_id();
    let sent = &by_id[&series_uid(4)][0].scan;
    // The columns run the other way, and the slices as before.
    let volume = volume(4);
    let expected = volume.samples().as_chunks::<128>().0.iter().flat_map(|line| {
        let (samples, _) = line.as_chunks::<2>();
        samples.iter().rev().copied().flatten().collect::<Vec<u8>>()
    });
    assert_eq!(sent.meta.image.checksum(), crc32c::crc32c(&expected.collect::<Vec<u8>>()));
}

#[tokio::test]
async fn a_person_reads_a_line_an_egg_and_a_summary() {
    let gateway = Gateway::start(|n| if n == 1 { Act::Decide(Call::Male) } else { Act::Reject }).await;
    let folder = folder();
    let ran = send(&gateway, folder.path(), "").await;
    let text = &ran.printed;
    // What cannot be read may be told before the first verdict comes.
    assert!(text.lines().any(|line| line.starts_with("egg-1             MALE       P(female)")), "{text}");
    assert!(
        text.contains(
            "3 eggs: 0 FEMALE, 1 MALE, 0 NO_EMBRYO, 2 UNDECIDED (2 rejected and not stored); 1 not sent"
        ),
        "{text}"
    );
    assert!(text.contains("2.25.2  REJECTED: scan 2.25.2: no room"), "{text}");
    assert!(!ran.succeeded());
}

#[tokio::test]
async fn a_broken_session_is_taken_up() {
    let gateway = Gateway::start(|n| if n <= 2 { Act::Break } else { Act::Decide(Call::NoEmbryo) }).await;
    let folder = folder();
    let ran = send(&gateway, &folder.path().join("two"), "--output json").await;
    assert!(ran.succeeded(), "{:?} {}", ran.result, ran.printed);
    assert_eq!(lines(&ran).len(), 1);
    assert_eq!(gateway.received().len(), 3, "sent until it was answered");
}

#[tokio::test]
async fn a_scan_that_breaks_every_session_is_given_up() {
    let gateway = Gateway::start(|_| Act::Break).await;
    let folder = folder();
    let ran = send(&gateway, &folder.path().join("two"), "").await;
    let error = ran.result.as_ref().unwrap_err().to_string();
    assert!(error.contains("gave up") && error.contains("this gateway is leaving"), "{error}");
    assert!(ran.printed.contains("00.dcm: no answer"), "{}", ran.printed);
    assert_eq!(gateway.received().len(), 9);
}
