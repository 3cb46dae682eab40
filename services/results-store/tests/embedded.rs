//! The embedded store: conformance, what is there after an end of any kind, and a disk that fails.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use ovomesh_results_store::conformance::{append, at, check, line, row};
use ovomesh_results_store::{Embedded, Record, Store, StoreError};

#[tokio::test]
async fn it_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    check(&Embedded::open(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let store = Embedded::open(folder.path()).unwrap();
        append(&store, (0..50).map(|n| row(&format!("{round}-{n}"), "egg", round * 100 + n))).await;
        assert_eq!(line(&store, 0, 1_000, 1_000).await.len(), 50 * (usize::try_from(round).unwrap() + 1));
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Embedded::open(folder.path()).unwrap();
    let error = Embedded::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("another process") && error.contains(folder.path().to_str().unwrap()), "{error}");
}

/// A torn tail is what a crash of the machine leaves: whatever was acknowledged before it must be there.
#[tokio::test]
async fn a_torn_tail_costs_only_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sizes, mut acknowledged) = (Vec::new(), Vec::new());
    let store = Embedded::open(folder.path()).unwrap();
    for n in 0..20 {
        append(&store, [row(&format!("{n:02}"), "egg", n)]).await;
        acknowledged.push(format!("{n:02}"));
        sizes.push(used(&journal(folder.path())));
    }
    // A copy taken while it is open is what a crash leaves.
    for cut in [0, 1, 2, 7, 30] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let file = journal(copy.path());
        let end = sizes[19] - cut;
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(end).unwrap();
        let whole = sizes.iter().filter(|size| **size <= end).count();
        let found = line(&Embedded::open(copy.path()).unwrap(), 0, 100, 100).await;
        assert_eq!(found, acknowledged[..whole], "cut by {cut} bytes");
    }
}

fn journal(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().expect("a journal")
}

/// Bytes of a journal that hold something: it is made longer ahead of its use.
fn used(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_row_without_its_keys_is_refused_by_name() {
    let mut nameless = row("", "egg", 0);
    let now = at(0);
    assert_eq!(Record::parse(nameless.clone(), now).unwrap_err().field, "scan_id");
    nameless.scan_id = "s".into();
    nameless.acquired_at = None;
    assert_eq!(Record::parse(nameless.clone(), now).unwrap_err().field, "acquired_at");
    nameless.verdict = None;
    nameless.acquired_at = row("s", "", 0).acquired_at;
    assert_eq!(Record::parse(nameless, now).unwrap_err().field, "verdict");
}

/// A full disk: a tiny file system of the test's own. Needs root, as CI has it.
#[tokio::test]
async fn a_full_disk_is_an_error_and_no_acknowledged_row_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=80m", "tmpfs"])
        .arg(folder.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("not tried: this user may not mount a tmpfs");
        return;
    }
    let _unmount = Unmount(folder.path().to_owned());
    let store = Embedded::open(&folder.path().join("data")).unwrap();
    append(&store, (0..100).map(|n| row(&format!("before-{n}"), "egg", n))).await;
    let ballast = folder.path().join("ballast");
    fill(&ballast);
    let mut failed = None;
    for n in 0..200 {
        let big = (0..1_000).map(|m| {
            let mut row = row(&format!("big-{n}-{m}"), "egg", 1_000_000 + n * 1_000 + m);
            row.batch_id = format!("{n}-{m}-").repeat(200);
            Record::parse(row, at(0)).unwrap()
        });
        if let Err(error) = store.append(big.collect()).await {
            failed = Some(error);
            break;
        }
    }
    let error = failed.expect("a full disk is noticed");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    std::fs::remove_file(ballast).unwrap();
    let begun = std::time::Instant::now();
    let after = || Record::parse(row("after", "egg", 500), at(0)).unwrap();
    while let Err(error) = store.append(vec![after()]).await {
        assert!(begun.elapsed().as_secs() < 10, "it works again when there is room: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(line(&store, 0, 1_000, 1_000).await.len(), 101);
}

/// Takes all that is left of a file system.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).unwrap();
    let block = vec![1u8; 1 << 16];
    while file.write_all(&block).is_ok() {}
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Lazily: the store may still have files open.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
