//! A full disk refuses clearly, and takes nothing of what was accepted.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use ovomesh_spool::{Error, Limits, Spool, SpoolContents};
use ovomesh_testkit::{SmallDisk, wait_until};

const MIB: u64 = 1 << 20;
/// More than the disk has, as a careless configuration would.
const LIMITS: Limits = Limits { scan_bytes: 128 * MIB, verdict_bytes: 16 * MIB };

fn small_disk(folder: &Path) -> Option<SmallDisk> {
    SmallDisk::mount(folder, 32).inspect_err(|error| eprintln!("SKIPPED: {error:#}")).ok()
}

/// A process that the other test starts meanwhile has the lock too, from its fork until it executes its program.
fn opened_again(folder: &Path) -> (Spool, SpoolContents) {
    let open = || match Spool::open(folder, LIMITS) {
        Err(Error::Locked { .. }) => None,
        opened => Some(opened.unwrap()),
    };
    wait_until("the lock is free", Duration::from_secs(10), open).unwrap()
}

#[tokio::test]
async fn what_was_accepted_gets_its_verdict_written_down_on_a_disk_that_takes_no_scans_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = small_disk(folder.path()) else { return };
    let spool_folder = disk.path().join("spool");
    let (spool, _) = Spool::open(&spool_folder, LIMITS).unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        match spool.accept(&format!("scan-{}", accepted.len()), vec![7; 128 << 10].into()).await {
            Ok(entry) => accepted.push(entry),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert!(accepted.len() > 100, "{} were accepted", accepted.len());
    let mut verdicts = Vec::new();
    for scan in &accepted {
        verdicts.push(spool.release(&scan.id, vec![9; 2_000].into()).await.unwrap());
    }
    assert_eq!(spool.scan(&accepted[0]).unwrap(), vec![7; 128 << 10]);
    drop(spool);
    let (spool, left) = opened_again(&spool_folder);
    assert_eq!((left.undecided.len(), left.unsettled.len(), left.lost.len()), (0, accepted.len(), 0));
    // The scans have their verdicts, so their files go: by a thread of the spool's own.
    let begun = Instant::now();
    while let Err(error) = spool.accept("again", vec![7; 128 << 10].into()).await {
        assert!(begun.elapsed() < Duration::from_secs(10), "no room again: {error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_record_that_hits_the_end_of_the_disk_is_cut_off_and_its_neighbours_stay() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = small_disk(folder.path()) else { return };
    let spool_folder = disk.path().join("spool");
    let (spool, _) = Spool::open(&spool_folder, LIMITS).unwrap();
    let first = spool.release("first", vec![1; 2_000].into()).await.unwrap();
    // Verdicts may use all of the disk; here somebody else has.
    disk.fill(8 << 10).unwrap();
    let refused = spool.release("second", vec![2; 60 << 10].into()).await.unwrap_err();
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    disk.empty().unwrap();
    spool.release("third", vec![3; 60 << 10].into()).await.unwrap();
    drop(spool);
    let (spool, left) = opened_again(&spool_folder);
    let ids: Vec<&str> = left.unsettled.iter().map(|released| released.entry.id.as_str()).collect();
    assert_eq!((ids, left.lost.len()), (vec!["first", "third"], 0));
    assert_eq!(left.unsettled[0].entry, first.entry);
    assert_eq!(spool.verdict(&left.unsettled[1]).unwrap(), vec![3; 60 << 10]);
}
