//! What a log promises, on a real disk.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ovomesh_spool::{Entry, Error, Log, Options, Recovered};
use tempfile::tempdir;

const OPTIONS: Options = Options { segment_bytes: 4_000, limit_bytes: 40_000, keep_free_bytes: 0 };

fn open(folder: &Path) -> (Log, Recovered) {
    Log::open(folder, OPTIONS).unwrap()
}

fn payload(n: usize) -> Bytes {
    vec![n as u8; 1_000].into()
}

async fn fill(log: &Log, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for n in 0..count {
        entries.push(log.append(1, &format!("r{n}"), payload(n)).await.unwrap());
    }
    entries
}

/// Space comes back from a thread of the log's own.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::yield_now();
    }
}

fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_was_appended_is_there_again_in_its_order() {
    let folder = tempdir().unwrap();
    let (log, recovered) = open(folder.path());
    assert!(recovered.entries.is_empty() && recovered.lost.is_empty());
    let entries = fill(&log, 10).await;
    assert_eq!(log.read(&entries[7]).unwrap(), payload(7));
    drop(log);
    let (log, recovered) = open(folder.path());
    assert_eq!(recovered.entries, entries);
    for (n, entry) in recovered.entries.iter().enumerate() {
        assert_eq!(log.read(entry).unwrap(), payload(n));
    }
}

#[tokio::test]
async fn a_full_log_refuses_and_has_room_again_when_records_are_let_go() {
    let folder = tempdir().unwrap();
    let (log, _) = open(folder.path());
    let mut entries = Vec::new();
    let refusal = loop {
        match log.append(1, "r", payload(0)).await {
            Ok(entry) => entries.push(entry),
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, Error::Full { limit: 40_000, .. }), "{refusal}");
    assert!(entries.len() > 30 && log.used() <= 40_000);
    for entry in &entries[..20] {
        log.free(entry);
    }
    wait_until("there is room", || log.used() < 22_000);
    log.append(1, "after", payload(1)).await.unwrap();
    assert_eq!(log.read(&entries[30]).unwrap(), payload(0), "what lives stays");
}

#[tokio::test]
async fn a_log_in_which_nothing_lives_takes_little_room() {
    let folder = tempdir().unwrap();
    let (log, _) = open(folder.path());
    for n in 0..200 {
        let entry = log.append(1, "r", payload(n)).await.unwrap();
        log.free(&entry);
    }
    wait_until("one segment is left", || segments(folder.path()).len() == 1);
}

#[tokio::test]
async fn two_processes_cannot_have_one_log() {
    let folder = tempdir().unwrap();
    let (_log, _) = open(folder.path());
    let second = Log::open(folder.path(), OPTIONS).unwrap_err();
    assert!(matches!(second, Error::Locked { .. }), "{second}");
}

#[tokio::test]
async fn a_damaged_record_is_named_and_its_neighbours_are_kept() {
    let folder = tempdir().unwrap();
    let (log, _) = open(folder.path());
    let entries = fill(&log, 6).await;
    let first = &segments(folder.path())[0];
    let mut bytes = std::fs::read(first).unwrap();
    bytes[1_500] ^= 4;
    std::fs::write(first, bytes).unwrap();
    assert!(
        matches!(log.read(&entries[1]), Err(Error::Damaged { id, .. }) if id == "r1"),
        "found out when read, too"
    );
    drop(log);
    let (_log, recovered) = open(folder.path());
    let ids: Vec<_> = recovered.entries.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["r0", "r2", "r3", "r4", "r5"]);
    let [lost] = recovered.lost.as_slice() else { panic!("{:?}", recovered.lost) };
    assert_eq!((lost.id.as_deref(), lost.is_torn_tail), (Some("r1"), false));
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_once() {
    let folder = tempdir().unwrap();
    let (log, _) = open(folder.path());
    fill(&log, 2).await;
    drop(log);
    let file = &segments(folder.path())[0];
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    let (log, recovered) = open(folder.path());
    assert_eq!((recovered.entries.len(), recovered.lost.len()), (1, 1));
    assert!(recovered.lost[0].is_torn_tail);
    drop(log);
    let (log, recovered) = open(folder.path());
    assert_eq!((recovered.entries.len(), recovered.lost.len()), (1, 0));
    assert_eq!(log.append(1, "next", payload(3)).await.map(|entry| entry.id), Ok("next".to_owned()));
}

/// A record as version 0.1 wrote it.
fn first_version(id: &str, payload: &[u8]) -> Vec<u8> {
    let label = |mark: &[u8]| {
        let mut fixed = [mark, &[1, 0], &(id.len() as u16).to_le_bytes()].concat();
        fixed.extend((payload.len() as u32).to_le_bytes());
        fixed.extend(crc32c::crc32c(payload).to_le_bytes());
        let crc = crc32c::crc32c(&[&fixed[..], id.as_bytes()].concat());
        fixed.extend(crc.to_le_bytes());
        fixed
    };
    [&label(b"oVs1")[..], id.as_bytes(), payload, id.as_bytes(), &label(b"1sVo")].concat()
}

fn ids(recovered: &Recovered) -> Vec<&str> {
    recovered.entries.iter().map(|entry| entry.id.as_str()).collect()
}

/// What is forged: a record of the first version, and a whole file of this version with a key that its author knows.
#[tokio::test]
async fn a_record_within_a_scans_samples_is_never_found_wherever_the_log_is_torn() {
    let stranger = tempdir().unwrap();
    let (log, _) = open(stranger.path());
    log.append(1, "forged", payload(7)).await.unwrap();
    drop(log);
    let own_file = std::fs::read(&segments(stranger.path())[0]).unwrap();
    let samples = [&first_version("forged", &[7; 50])[..], &own_file].concat().repeat(2);
    let folder = tempdir().unwrap();
    let (log, _) = open(folder.path());
    log.append(1, "before", payload(1)).await.unwrap();
    let scan = log.append(1, "scan", samples.clone().into()).await.unwrap();
    assert_eq!(log.read(&scan).unwrap(), samples);
    drop(log);
    let file = segments(folder.path())[0].clone();
    let whole = std::fs::read(&file).unwrap();
    let first = whole.len() - samples.len() - 2 * (20 + "scan".len());
    for end in (0..whole.len()).step_by(7).chain([first, whole.len() - 1]) {
        let torn = tempdir().unwrap();
        std::fs::write(torn.path().join("0000000001.log"), &whole[..end]).unwrap();
        let (_log, recovered) = open(torn.path());
        let expected: &[&str] = if end < first { &[] } else { &["before"] };
        assert_eq!(ids(&recovered), expected, "cut at {end}");
        assert!(recovered.lost.iter().all(|lost| lost.is_torn_tail), "cut at {end}: {:?}", recovered.lost);
        assert!(recovered.lost.len() <= 1, "cut at {end}: {:?}", recovered.lost);
    }
    // A hole in the header of the scan's record.
    let mut bytes = whole.clone();
    bytes[first..first + 30].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    assert!(!ids(&open(folder.path()).1).contains(&"forged"));
}

#[tokio::test]
async fn a_log_of_the_first_version_is_continued() {
    let folder = tempdir().unwrap();
    let old = [first_version("r0", &payload(0)), first_version("r1", &payload(1))].concat();
    std::fs::write(folder.path().join("0000000001.log"), &old[..old.len() - 1]).unwrap();
    let (log, recovered) = open(folder.path());
    assert_eq!((ids(&recovered), recovered.lost.len()), (vec!["r0"], 1));
    assert_eq!(log.read(&recovered.entries[0]).unwrap(), payload(0));
    log.append(1, "r2", payload(2)).await.unwrap();
    drop(log);
    let (log, recovered) = open(folder.path());
    assert_eq!(ids(&recovered), ["r0", "r2"]);
    log.free(&recovered.entries[0]);
    wait_until("the old file is gone", || segments(folder.path()).len() == 1);
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    let mut header = b"ovomesh\x03and whatever".to_vec();
    header.truncate(20);
    header.extend(crc32c::crc32c(&header.clone()).to_le_bytes());
    let path = folder.path().join("0000000001.log");
    std::fs::write(&path, &header).unwrap();
    let error = Log::open(folder.path(), OPTIONS).unwrap_err();
    assert!(error.to_string().contains("format 3 of a newer version"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), header);
}

#[tokio::test]
async fn what_no_record_can_have_is_refused() {
    let folder = tempdir().unwrap();
    let (log, _) = open(folder.path());
    let error = log.append(1, &"x".repeat(321), Bytes::new()).await.unwrap_err();
    assert!(error.to_string().contains("321"), "{error}");
}

#[test]
fn kill_9_at_any_moment_loses_nothing_that_was_acknowledged() {
    let program = std::env::current_exe().unwrap();
    let program = program.parent().unwrap().parent().unwrap().join("examples/append");
    for after in [1, 40, 300] {
        let folder = tempdir().unwrap();
        let mut child = Command::new(&program).arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged: Vec<String> = lines.by_ref().take(after).map(Result::unwrap).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter(|line| line.starts_with("record-")));
        let (log, recovered) = Log::open(folder.path(), Options { limit_bytes: 1 << 30, ..OPTIONS }).unwrap();
        assert!(
            recovered.entries.len() >= acknowledged.len(),
            "{} of {}",
            recovered.entries.len(),
            acknowledged.len()
        );
        for (entry, id) in recovered.entries.iter().zip(&acknowledged) {
            // The last line may be cut off in its middle.
            assert!(entry.id.starts_with(id.as_str()), "{entry:?} {id}");
        }
        for (n, entry) in recovered.entries.iter().enumerate() {
            assert_eq!(log.read(entry).unwrap(), (n as u32).to_le_bytes().repeat(1_000));
        }
        assert!(recovered.lost.iter().all(|lost| lost.is_torn_tail), "{:?}", recovered.lost);
    }
}
