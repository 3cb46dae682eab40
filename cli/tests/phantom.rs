//! `ovomesh phantom`: what it writes is read back as it was made, and sent as it was written.

#![allow(clippy::unwrap_used)] // helpers of tests fail them by panicking

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use common::gateway::{Act, Gateway};
use common::ovomesh;
use ovomesh_api::pb::scan::v1::Call;
use ovomesh_phantom::{Grid, Phantom, Profile, Scanner, Shares, rng, seed_of};

/// Rows of the truth by scan, as column and value.
fn truth(folder: &Path) -> HashMap<String, HashMap<String, String>> {
    let text = fs::read_to_string(folder.join("truth.csv")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| -> HashMap<String, String> {
        let values: Vec<&str> = line.split(',').collect();
        assert_eq!(values.len(), head.len(), "{line}");
        head.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
    };
    lines.map(row).map(|row| (row["scan_id"].clone(), row)).collect()
}

#[tokio::test]
async fn what_is_sent_is_what_the_phantoms_scanner_made() {
    for single in ["", "--single"] {
        let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
        let folder = tempfile::tempdir().unwrap();
        let words =
            format!("phantom --count 6 --seed 7 --snr 20 {single} --dicom {}", folder.path().display());
        let ran = ovomesh(&words).await;
        assert!(ran.succeeded(), "{:?}", ran.result);
        assert!(ran.printed.starts_with("6 eggs in "), "{}", ran.printed);
        let scans = folder.path().join("scans");
        assert!(ovomesh(&format!("--gateway {} send {}", gateway.url, scans.display())).await.succeeded());

        let (seen, truth) = (gateway.by_id(), truth(folder.path()));
        assert_eq!((seen.len(), truth.len()), (6, 6));
        for (id, row) in &truth {
            assert!(folder.path().join(&row["file"]).exists(), "{row:?}");
            let scan = &seen[id][0].scan;
            assert_eq!(scan.meta.egg_id.as_ref().unwrap().as_str(), row["egg_id"]);
            assert_eq!(scan.volume.dims(), [64, 64, 16]);
            // Made once more, from what the help promises.
            let index: u64 = row["egg_id"].rsplit('-').next().unwrap().parse().unwrap();
            let seed = seed_of(7, index - 1);
            let egg = Phantom::new(&Profile::nominal(), Shares::HATCHERY.class_of(seed_of(seed, 0)), seed)
                .render(&Grid::STANDARD);
            let samples = Scanner::with_snr(20.0).acquire(&egg, &mut rng(seed_of(seed, 1)));
            let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(scan.meta.image.checksum(), crc32c::crc32c(&bytes), "{id}");
            assert_eq!(row["class"], egg.truth.class.name());
            match egg.truth.gonads_mm {
                Some([left, _]) => {
                    let told: f64 = row["left_y_mm"].parse().unwrap();
                    assert!((told - left[1]).abs() < 1e-4, "{told} and {left:?}");
                }
                None => assert_eq!((row["left_x_mm"].as_str(), row["asymmetry"].as_str()), ("", "")),
            }
        }
    }
}

#[tokio::test]
async fn eggs_of_one_class_are_of_that_class_and_a_program_can_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let words = format!("--output json phantom --count 8 --class dead --dicom {}", folder.path().display());
    let ran = ovomesh(&words).await;
    assert!(ran.succeeded(), "{:?}", ran.result);
    let lines: Vec<serde_json::Value> =
        ran.printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8);
    assert!(lines.iter().all(|line| line["class"] == "DEAD" && line["left_mm"].is_null()), "{lines:?}");
    for death in ["EARLY", "MID-TERM"] {
        assert!(lines.iter().any(|line| line["death"] == death), "no {death}: {lines:?}");
    }
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let words = format!("phantom --count 1 --dicom {}", folder.path().display());
    assert!(ovomesh(&words).await.succeeded());
    let before = fs::read(folder.path().join("truth.csv")).unwrap();
    let error = format!("{:#}", ovomesh(&words).await.result.unwrap_err());
    assert!(error.contains("choose another folder"), "{error}");
    assert_eq!(fs::read(folder.path().join("truth.csv")).unwrap(), before);
}
