//! Files that are dropped into a watched folder: whatever is half written, dropped twice, killed or cut off, an egg has
//! one row, and its file lies in `done/` with the verdict beside it, or in `failed/` with the reason.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{Call, UndecidedReason};
use ovomesh_tests::edge::{Edge, egg, eggs, row, rows};
use ovomesh_tests::{LIMIT, fleet};
use serde_json::Value;

/// A folder that is watched by an agent of its own, as the only folder of its line.
struct Drop {
    agent: Edge,
    root: PathBuf,
    line: &'static str,
}

impl Drop {
    fn new(line: &'static str) -> Self {
        let root = fleet().folder().join(format!("drop-{line}"));
        std::fs::create_dir_all(&root).unwrap();
        let lines = format!(
            "lines: [{{site: F, line: {line}, sources: [{{folder: '{}'}}], read: [
                {{from: PatientID, into: egg_id}},
                {{from: file_name, pattern: '^(?<tray_run>\\w+)-(?<slot>\\d+)'}}]}}]",
            root.display()
        );
        // Patience for less than a test's limit.
        let agent = Edge::start(&format!("folder-{line}"), &lines, &["--watch-patience-ms", "4000"]);
        Self { agent, root, line }
    }

    fn egg(&self, name: &str, flags: &[&str]) -> Vec<PathBuf> {
        egg(&format!("{}-{name}", self.line), "male", flags).1
    }

    /// As a careful writer drops it: under another name first.
    fn rename_in(&self, from: &Path, name: &str) {
        let hidden = self.root.join(format!(".{name}"));
        std::fs::copy(from, &hidden).unwrap();
        std::fs::rename(hidden, self.root.join(name)).unwrap();
    }

    async fn until(&self, name: &str) -> String {
        let (path, begun) = (self.root.join(name), Instant::now());
        loop {
            if let Ok(text) = std::fs::read_to_string(&path) {
                return text;
            }
            let log = self.agent.log();
            assert!(begun.elapsed() < LIMIT, "{name} is not there within {LIMIT:?}; the agent's log:\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn verdict(&self, name: &str) -> Value {
        serde_json::from_str(&self.until(&format!("done/{name}.verdict.json")).await).unwrap()
    }

    /// What lies in the folder itself.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.root).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !["done", "failed"].contains(&name.as_str())).collect()
    }

    async fn until_moved(&self, name: &str) {
        let begun = Instant::now();
        while !self.root.join(name).exists() {
            assert!(begun.elapsed() < LIMIT, "{name} is not there; the agent's log:\n{}", self.agent.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_logged(&self, words: &str) {
        let begun = Instant::now();
        while !self.agent.log().contains(words) {
            assert!(begun.elapsed() < LIMIT, "{words:?} is not in the agent's log:\n{}", self.agent.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the line has so many rows, and there are no more.
    async fn rows_are(&self, count: usize) {
        let begun = Instant::now();
        loop {
            let all = rows("F", self.line).await;
            assert!(all.len() <= count, "{all:?}");
            if all.len() == count {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "not stored within {LIMIT:?}: {all:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_file_gets_its_verdict_and_the_same_file_again_is_the_same_scan() {
    let drop = Drop::new("once");
    let egg = drop.egg("a", &[]).remove(0);
    drop.rename_in(&egg, "tray7-12.dcm");
    let verdict = drop.verdict("tray7-12.dcm").await;
    drop.until_moved("done/tray7-12.dcm").await;
    let id = verdict["scan_id"].as_str().unwrap();
    assert_eq!(verdict["series_uid"].as_str(), Some(id));
    assert_eq!(verdict["sha256"][0].as_str().map(str::len), Some(64));
    let stored = row(id).await;
    assert_eq!(verdict["verdict"]["call"], stored.verdict.as_ref().unwrap().call().as_str_name()[5..]);
    let place = stored.place.as_ref().unwrap();
    assert_eq!((place.tray_run.as_str(), place.slot, stored.egg_id.is_empty()), ("tray7", 12, false));
    // Written in place this time, by a writer that closes it.
    std::fs::copy(&egg, drop.root.join("tray7-12.dcm")).unwrap();
    assert_eq!(drop.verdict("tray7-12-2.dcm").await["verdict"], verdict["verdict"]);
    assert_eq!(row(id).await, stored);
    drop.rows_are(1).await;
}

#[tokio::test]
async fn a_file_that_is_half_written_is_left_alone_until_it_is_whole() {
    let drop = Drop::new("half");
    let bytes = std::fs::read(drop.egg("a", &[]).remove(0)).unwrap();
    let mut file = std::fs::File::create(drop.root.join("egg.dcm")).unwrap();
    file.write_all(&bytes[..bytes.len() / 2]).unwrap();
    // Closed in between: the system says that it is whole, its contents do not.
    std::mem::drop(file);
    drop.until_logged("left alone").await;
    assert_eq!(drop.left(), ["egg.dcm"]);
    let mut file = std::fs::File::options().append(true).open(drop.root.join("egg.dcm")).unwrap();
    file.write_all(&bytes[bytes.len() / 2..]).unwrap();
    std::mem::drop(file);
    drop.verdict("egg.dcm").await;
    drop.until_moved("done/egg.dcm").await;
    drop.rows_are(1).await;
    // What never becomes whole fails.
    std::fs::write(drop.root.join("cut.dcm"), &bytes[..bytes.len() / 2]).unwrap();
    let reason = drop.until("failed/cut.dcm.reason.txt").await;
    assert!(reason.contains("cut off") && reason.contains("cut.dcm"), "{reason}");
    drop.rows_are(1).await;
}

#[tokio::test]
async fn a_file_that_has_its_size_before_its_content_is_decided_when_it_is_filled() {
    let drop = Drop::new("sized");
    let egg = drop.egg("a", &[]).remove(0);
    let bytes = std::fs::read(&egg).unwrap();
    let mut file = std::fs::File::create(drop.root.join("egg.dcm")).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let most = bytes.len() * 96 / 100;
    file.write_all(&bytes[..most]).unwrap();
    // Its writer pauses for longer than a file has to be quiet.
    drop.until_logged("ends with zeros").await;
    assert_eq!(drop.left(), ["egg.dcm"]);
    file.write_all(&bytes[most..]).unwrap();
    std::mem::drop(file);
    let verdict = drop.verdict("egg.dcm").await;
    drop.until_moved("done/egg.dcm").await;
    drop.rename_in(&egg, "again.dcm");
    assert_eq!(drop.verdict("again.dcm").await["scan_id"], verdict["scan_id"], "it was decided as a whole");
    drop.rows_are(1).await;
}

#[tokio::test]
async fn slices_are_one_scan_in_a_folder_of_their_own_or_beside_each_other() {
    let drop = Drop::new("slices");
    let slices = drop.egg("a", &["--single"]);
    let folder = drop.root.join("t1-5");
    std::fs::create_dir(&folder).unwrap();
    for slice in &slices {
        std::fs::copy(slice, folder.join(slice.file_name().unwrap())).unwrap();
    }
    let verdict = drop.verdict("t1-5").await;
    assert_eq!(verdict[0]["files"].as_array().unwrap().len(), 16);
    assert_eq!((&verdict[0]["tray_run"], &verdict[0]["slot"]), (&Value::from("t1"), &Value::from(5)));
    drop.until_moved("done/t1-5/016.dcm").await;
    let loose = drop.egg("b", &["--single"]);
    for slice in &loose {
        drop.rename_in(slice, &slice.file_name().unwrap().to_string_lossy());
    }
    for slice in &loose {
        let name = slice.file_name().unwrap().to_string_lossy().into_owned();
        assert_ne!(drop.verdict(&name).await["scan_id"], verdict[0]["scan_id"]);
        drop.until_moved(&format!("done/{name}")).await;
    }
    drop.rows_are(2).await;
    // One is missing: the egg is UNDECIDED, its files fail.
    let lacking = drop.egg("c", &["--single"]);
    for slice in &lacking[2..] {
        drop.rename_in(slice, &format!("c{}", slice.file_name().unwrap().to_string_lossy()));
    }
    drop.rename_in(&lacking[0], "c001.dcm");
    let reason = drop.until("failed/c001.dcm.reason.txt").await;
    assert!(reason.contains("missing"), "{reason}");
    let mut all = Vec::new();
    let begun = Instant::now();
    while all.len() < 3 {
        assert!(begun.elapsed() < LIMIT, "its row is not stored: {all:?}");
        all = rows("F", "slices").await;
    }
    let undecided: Vec<_> =
        all.iter().filter_map(|row| row.verdict.as_ref()).filter(|v| v.call() == Call::Undecided).collect();
    assert_eq!((all.len(), undecided.len()), (3, 1));
    assert_eq!(undecided[0].reason(), UndecidedReason::Rejected);
}

/// Copies files into a folder of their own in the watched one, with a pause after each.
async fn fill(drop: &Drop, name: &str, files: &[PathBuf], pause: Duration) {
    let folder = drop.root.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for file in files {
        std::fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test]
async fn one_bad_egg_in_a_folder_takes_none_of_the_good_ones_with_it() {
    let drop = Drop::new("mixed");
    let (good, bad) = (drop.egg("good", &[]), drop.egg("bad", &["--single"]));
    let folder = drop.root.join("tray");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&good[0], folder.join("good.dcm")).unwrap();
    fill(&drop, "tray", &bad[2..], Duration::ZERO).await;
    let verdicts = drop.verdict("tray").await;
    let entries = verdicts.as_array().unwrap();
    assert_eq!(entries.len(), 2, "{verdicts}");
    let is_bad =
        |entry: &&Value| entry["error"].as_str().is_some_and(|why| why.contains("14 of the 16 images"));
    assert_eq!(entries.iter().filter(is_bad).count(), 1, "{verdicts}");
    assert!(entries.iter().all(|entry| entry["verdict"]["call"].is_string()), "{verdicts}");
    drop.rows_are(2).await;
}

#[tokio::test]
async fn a_series_that_comes_in_parts_is_one_scan() {
    let drop = Drop::new("parts");
    let slices = drop.egg("a", &["--single"]);
    let slices =
        ovomesh_tests::dcmtk::modify(&["-ea", "(0020,1002)"], &slices, &fleet().folder().join("parts"));
    // Each pause is longer than a folder has to be quiet, but for what it has shown.
    fill(&drop, "slow", &slices, Duration::from_millis(1_500)).await;
    let verdict = drop.verdict("slow").await;
    assert_eq!(verdict[0]["files"].as_array().unwrap().len(), 16, "{verdict}");
    // More of it that comes late is no other scan.
    let late = drop.egg("b", &["--single"]);
    let series = format!("(0020,000e)={}", verdict[0]["series_uid"].as_str().unwrap());
    let late = ovomesh_tests::dcmtk::modify(&["-m", &series], &late, &fleet().folder().join("late"));
    fill(&drop, "late", &late, Duration::ZERO).await;
    let reason = drop.until("failed/late.reason.txt").await;
    assert!(reason.contains("decided already, by other images"), "{reason}");
    drop.rows_are(1).await;
}

#[tokio::test]
async fn what_is_no_scan_fails_with_the_reason() {
    let drop = Drop::new("junk");
    for (name, bytes, words) in [
        ("notes.txt", vec![b'x'; 1_000], "not a usable DICOM file"),
        ("empty.dcm", Vec::new(), "empty.dcm"),
        ("huge.dcm", vec![0; 13 << 20], "more than"),
    ] {
        std::fs::write(drop.root.join(name), bytes).unwrap();
        let reason = drop.until(&format!("failed/{name}.reason.txt")).await;
        assert!(reason.contains(words) && reason.lines().count() == 1, "{reason}");
        drop.until_moved(&format!("failed/{name}")).await;
    }
    assert!(drop.left().is_empty());
}

#[tokio::test]
async fn a_share_that_goes_away_and_comes_back_is_waited_for() {
    let drop = Drop::new("share");
    let away = drop.root.with_extension("away");
    std::fs::rename(&drop.root, &away).unwrap();
    drop.until_logged("waiting until it can").await;
    std::fs::copy(drop.egg("a", &[]).remove(0), away.join("egg.dcm")).unwrap();
    std::fs::rename(&away, &drop.root).unwrap();
    drop.verdict("egg.dcm").await;
    drop.until_moved("done/egg.dcm").await;
    assert_eq!(drop.agent.log().matches("waiting until it can").count(), 1, "told once");
    // Its events are heard again.
    drop.rename_in(&drop.egg("b", &[]).remove(0), "next.dcm");
    drop.verdict("next.dcm").await;
    drop.rows_are(2).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_decides_each_file_once() {
    let mut drop = Drop::new("killed");
    let folder = fleet().folder().join("eggs-killed-all");
    let eggs = eggs(&folder, &["--count", "24", "--seed", "11"]);
    for (round, eggs) in eggs.chunks(6).enumerate() {
        for (i, (_, files)) in eggs.iter().enumerate() {
            drop.rename_in(&files[0], &format!("r{round}-{i}.dcm"));
        }
        // Some are decided by now, some moved, some not seen: whatever a fast or a slow machine has done.
        tokio::time::sleep(Duration::from_millis(40 * round as u64)).await;
        drop.agent.kill();
        drop.agent.restart();
    }
    let mut ids = std::collections::HashSet::new();
    for (round, eggs) in eggs.chunks(6).enumerate() {
        for i in 0..eggs.len() {
            let name = format!("r{round}-{i}.dcm");
            drop.until_moved(&format!("done/{name}")).await;
            let verdict = drop.verdict(&name).await;
            let id = verdict["scan_id"].as_str().unwrap().to_owned();
            let stored = row(&id).await;
            assert_eq!(verdict["verdict"]["call"], stored.verdict.unwrap().call().as_str_name()[5..]);
            ids.insert(id);
        }
    }
    assert_eq!(ids.len(), 24);
    drop.rows_are(24).await;
    assert!(drop.left().is_empty());
    // As if killed after the verdict was written and before the move.
    std::fs::rename(drop.root.join("done/r0-0.dcm"), drop.root.join("r0-0.dcm")).unwrap();
    drop.until_moved("done/r0-0.dcm").await;
    assert_eq!((drop.left().len(), drop.root.join("done/r0-0-2.dcm").exists()), (0, false));
}
