//! The embedded store: conformance, what is there after an end of any kind, and a disk that fails.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{Preview, Row};
use ovomesh_results_store::{Embedded, Store, StoreError};
use ovomesh_testkit::SmallDisk;
use proptest::prelude::*;
use support::conformance::{check, check_pages, rows};
use support::{all, append, record, row};

#[tokio::test]
async fn it_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    check(&Embedded::open(folder.path()).unwrap()).await;
}

#[test]
fn pages_are_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sites = AtomicU32::new(0);
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(rows in rows(), limit in 1..50usize, from in 0..20i64, to in 0..25i64)| {
        let site = format!("site-{}", sites.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(check_pages(&store, &site, &rows, limit, (from, to)))?;
    });
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let store = Embedded::open(folder.path()).unwrap();
        assert_eq!(all(&store).await, expected);
        let ids = |n| format!("{round}-{n:02}");
        append(&store, (0..50).map(|n| row(&ids(n), "egg", round * 100 + n))).await;
        expected.extend((0..50).map(ids));
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path()).unwrap();
    let error = Embedded::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("another process") && error.contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    Embedded::open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let error = Embedded::open(&file).err().unwrap().to_string();
    assert!(error.contains(file.to_str().unwrap()) && error.contains("os error"), "{error}");
}

/// Twenty batches of three rows, each larger than a page of memory, and how long the journal was after each.
struct Crashed {
    folder: tempfile::TempDir,
    ends: Vec<usize>,
}

impl Crashed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        let mut ends = Vec::new();
        for batch in 0..20 {
            append(&store, Self::ids(batch).map(|id| pictured(&id, batch))).await;
            ends.push(used(&journal(folder.path())).len());
        }
        // A copy taken while it is open is what a crash leaves.
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        Self { folder: copy, ends }
    }

    fn ids(batch: i64) -> impl Iterator<Item = String> {
        (0..3).map(move |n| format!("{batch:02}-{n}"))
    }

    /// Opens a copy of it, of whose journal `spoil` changed something.
    fn open(&self, spoil: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, Result<Embedded, StoreError>) {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        let journal = journal(copy.path());
        let mut bytes = std::fs::read(&journal).unwrap();
        spoil(&mut bytes);
        std::fs::write(&journal, bytes).unwrap();
        let store = Embedded::open(copy.path());
        (copy, store)
    }
}

/// A row with a picture of 2 KiB.
fn pictured(id: &str, second: i64) -> Row {
    let pixels: Vec<u8> = (0..2_048u32).map(|n| (n % 251) as u8 | 1).collect();
    let preview = Preview { columns: 64, rows: 64, pixels: pixels.into(), ..Default::default() };
    Row { preview: Some(preview), ..row(id, "egg", second) }
}

#[tokio::test]
async fn a_torn_tail_costs_only_what_was_torn() {
    let crashed = Crashed::new().await;
    let (begin, end) = (crashed.ends[16], crashed.ends[19]);
    for cut in (0..12).map(|n| begin + (end - begin) * n / 11).chain([end - 1, crashed.ends[18] + 1]) {
        let (folder, store) = crashed.open(|journal| journal.truncate(cut));
        let whole = crashed.ends.iter().filter(|end| **end <= cut).count();
        let mut expected: Vec<_> = (0..whole as i64).flat_map(Crashed::ids).collect();
        let store = store.unwrap();
        assert_eq!(all(&store).await, expected, "cut at {cut}");
        append(&store, [row("afterwards", "", 100)]).await;
        drop(store);
        expected.push("afterwards".into());
        assert_eq!(
            all(&Embedded::open(folder.path()).unwrap()).await,
            expected,
            "cut at {cut}, and written to"
        );
    }
}

/// Pages of a file reach the disk in any order: a crash in the middle of an fsync may leave any of them out.
#[tokio::test]
async fn holes_in_the_batch_that_was_being_written_cost_only_that_batch() {
    let crashed = Crashed::new().await;
    let (begin, end) = (crashed.ends[18], crashed.ends[19]);
    let acknowledged: Vec<_> = (0..19).flat_map(Crashed::ids).collect();
    for n in 0..12 {
        let hole = begin + (end - begin) * n / 12;
        let (_folder, store) = crashed.open(|journal| journal[hole..(hole + 512).min(end)].fill(0));
        assert_eq!(all(&store.unwrap()).await, acknowledged, "a hole at {hole}");
    }
}

#[tokio::test]
async fn damage_to_acknowledged_rows_is_told_and_not_passed_over() {
    let crashed = Crashed::new().await;
    for damage in [crashed.ends[9] + 20, crashed.ends[9] + 3_000, crashed.ends[10] - 3] {
        let (folder, store) = crashed.open(|journal| journal[damage] ^= 0xff);
        let Err(StoreError::Damaged { store, reason }) = store else {
            panic!("opened with damage at {damage}")
        };
        assert_eq!(store, folder.path().display().to_string());
        assert!(reason.contains(&format!("from byte {}", crashed.ends[9])), "{reason}");
    }
}

fn journal(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().expect("a journal")
}

/// What a journal holds: it is made longer ahead of its use. These here hold less than 1 MiB.
fn used(journal: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(journal).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    bytes
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else if path.extension().is_some_and(|e| e == "jnl") {
            std::fs::write(&target, used(&path)).unwrap();
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_no_acknowledged_row_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(folder.path(), 80) {
        Ok(disk) => disk,
        Err(error) => return eprintln!("not tried: {error:#}"),
    };
    let data = disk.path().join("data");
    let store = Embedded::open(&data).unwrap();
    append(&store, (0..100).map(|n| row(&format!("before-{n:03}"), "egg", n))).await;
    disk.fill(0).unwrap();
    let mut acknowledged: Vec<_> = (0..100).map(|n| format!("before-{n:03}")).collect();
    let mut failures = Vec::new();
    // Until the disk is full, and then some more: each is told the same.
    for n in 0..1_000 {
        let rows = (0..100).map(|m| pictured(&format!("full-{n:03}-{m:02}"), 1_000 + n * 100 + m));
        match store.append(rows.map(record).collect()).await {
            Ok(_) => acknowledged.extend((0..100).map(|m| format!("full-{n:03}-{m:02}"))),
            Err(error) => failures.push(error),
        }
        if failures.len() == 5 {
            break;
        }
    }
    assert_eq!(failures.len(), 5, "a full disk is noticed");
    for error in failures {
        let told = error.to_string();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{told}");
        assert!(told.contains(data.to_str().unwrap()) && told.contains("No space left on device"), "{told}");
    }
    assert!(all(&store).await.len() >= acknowledged.len(), "it still answers");
    disk.empty().unwrap();
    until_stored(&store, "after").await;
    acknowledged.push("after".into());
    let has_all = |found: &[String]| acknowledged.iter().all(|id| found.binary_search(id).is_ok());
    let mut found = all(&store).await;
    found.sort();
    assert!(has_all(&found), "{} of {}", found.len(), acknowledged.len());
    drop(store);
    let mut found = all(&Embedded::open(&data).unwrap()).await;
    found.sort();
    assert!(has_all(&found), "{} of {}", found.len(), acknowledged.len());
}

async fn until_stored(store: &Embedded, id: &str) {
    let begun = Instant::now();
    while let Err(error) = store.append(vec![record(row(id, "egg", 900_000))]).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it works again when there is room: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
