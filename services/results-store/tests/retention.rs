//! The embedded store within its limits: rows go by age and by size, the oldest first, from all tables at once; what is
//! left after a kill or a full disk is whole.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::Preview;
use ovomesh_results_store::{Embedded, Keep, Outcome, Record, Store as _};
use ovomesh_testkit::SmallDisk;
use prost::Message as _;
use support::{all, append, egg_of, get, get_of, outcomes, range, record, row};

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;
/// Journals take up to half of it.
const SMALL: u64 = 260 * MIB;
/// Rows of a batch: 3 MiB.
const BATCH: i64 = 100;

fn small() -> Keep {
    Keep { bytes: Some(SMALL), check: Duration::from_millis(5), ..Keep::default() }
}

fn id(n: i64) -> String {
    format!("{n:06}")
}

/// Row `n` with a picture of 30 KiB that cannot be compressed, so that a few thousand make a small disk full.
fn large(n: i64) -> Record {
    let mut state = n.unsigned_abs() + 1;
    let mut pixels = vec![0; 30 << 10];
    pixels.fill_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let preview = Preview { columns: 245, rows: 245, pixels: pixels.into(), ..Default::default() };
    let row = row(&id(n), &format!("egg-{n}"), n);
    Record { preview: Some(preview.encode_to_vec().into()), ..record(row) }
}

fn larges(rows: Range<i64>) -> Vec<Record> {
    rows.map(large).collect()
}

/// The rows that are there are the last ones, whole, and of those before nothing answers. Gives the first.
async fn assert_whole(store: &Embedded, end: i64) -> i64 {
    let ids = all(store).await;
    let first: i64 = ids.first().expect("some rows are kept").parse().unwrap();
    let last: i64 = ids.last().unwrap().parse::<i64>().unwrap() + 1;
    assert!(ids == (first..last).map(id).collect::<Vec<_>>(), "a row is missing between {first} and {last}");
    assert!(last >= end, "row {} was acknowledged, the last is {}", end - 1, last - 1);
    let near = (first - 300).max(0)..(first + 300).min(last);
    for n in near.chain((0..last).step_by(97)) {
        let (scan, egg) =
            (get(store, &id(n)).await, egg_of(store, &format!("egg-{n}"), None, 9).await.unwrap());
        assert_eq!(scan.is_some(), n >= first, "scan {n}, the first is {first}");
        assert_eq!(egg.len(), usize::from(n >= first), "the egg of scan {n}, the first is {first}");
        assert!(scan.is_none_or(|row| row.preview.is_some()), "the picture of scan {n}");
    }
    first
}

fn used(folder: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1"]).arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_stays_within_its_size_while_rows_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::keeping(folder.path(), &small()).unwrap());
    let is_read = Arc::new(AtomicBool::new(false));
    let mut reader = tokio::task::JoinSet::new();
    reader.spawn({
        let (store, is_read) = (store.clone(), is_read.clone());
        async move {
            let mut pages = 0;
            // One that is slow enough to meet removals between two of its pages.
            while !is_read.load(Ordering::Relaxed) {
                let mut range = range(0, 1_000_000, 100);
                let mut last = String::new();
                loop {
                    let page = store.list_line(range.clone()).await.expect("a page");
                    for row in page.rows.into_iter().map(support::read) {
                        assert!(row.scan_id > last, "{} follows {last}", row.scan_id);
                        last = row.scan_id;
                    }
                    pages += 1;
                    if page.next.is_empty() {
                        break;
                    }
                    range.token = page.next;
                }
            }
            pages
        }
    });
    let (mut most, end) = (0, 11_000);
    for n in (0..end).step_by(BATCH as usize) {
        store.append(larges(n..n + BATCH)).await.unwrap();
        if n % 1_000 == 0 {
            most = most.max(used(folder.path()));
        }
    }
    assert!(most < SMALL, "{} MiB were used of {}", most / MIB, SMALL / MIB);
    let facts = store.details();
    let fact = |name| &facts.iter().find(|(fact, _)| *fact == name).unwrap().1;
    assert!(fact("disk used").ends_with("of 0.25 GiB"), "{facts:?}");
    assert!(fact("rows kept since").starts_with("20"), "{facts:?}");
    is_read.store(true, Ordering::Relaxed);
    assert!(reader.join_next().await.unwrap().unwrap() > 10);
    drop(store);
    let store = Embedded::open(folder.path()).unwrap();
    let first = assert_whole(&store, end).await;
    assert!(first > 0 && end - first > 1_000, "rows are removed, but not more than must be: {first}");
    // Nothing is remembered of a removed row: one that is sent again is a new row.
    assert_eq!(outcomes(&store, [row(&id(0), "another-egg", 0)]).await, [Outcome::Written]);
    assert_eq!(get(&store, &id(0)).await.unwrap().egg_id, "another-egg");
}

#[tokio::test]
async fn rows_are_kept_for_their_time_and_then_go() {
    let folder = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(3);
    let keep = Keep { age, check: Duration::from_millis(10), ..Keep::default() };
    let store = Embedded::keeping(folder.path(), &keep).unwrap();
    let (mut stored, mut gone) = (Vec::new(), 0);
    let begun = Instant::now();
    // Late rows, and those of scanners whose clock is wrong, are kept as long as others.
    let acquired = [0, -1_000_000_000, 4_000_000_000, 50];
    while gone < 5 {
        assert!(begun.elapsed() < LIMIT, "rows go");
        let n = stored.len();
        let scan = format!("scan-{n}");
        append(&store, [row(&scan, "", acquired[n % 4] + n as i64)]).await;
        stored.push((scan, Instant::now()));
        for (n, (scan, _)) in stored.iter().enumerate().skip(gone) {
            let is_there = get_of(&store, scan, None).await.unwrap().is_some();
            // Looked at before it was asked: the row had its time.
            assert!(is_there || stored[n].1.elapsed() >= age, "{scan} went too early");
            if is_there {
                break;
            }
            gone = n + 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Not all have gone with them. It may be the next one's time by now.
    let (first, written) = &stored[gone];
    assert!(get(&store, first).await.is_some() || written.elapsed() >= age);
}

/// Where the child writes.
const FOLDER: &str = "OVOMESH_TEST_FOLDER";
const FIRST: &str = "OVOMESH_TEST_FIRST";

/// Not a test of its own: writes for ever, and says after each batch how many rows are acknowledged.
#[tokio::test]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let first: i64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = Embedded::keeping(Path::new(&folder), &small()).unwrap();
    for n in (first..).step_by(BATCH as usize) {
        store.append(larges(n..n + BATCH)).await.unwrap();
        println!("\nstored {}", n + BATCH);
    }
}

struct Writing {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writing {
    fn start(folder: &Path, first: i64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env(FOLDER, folder).env(FIRST, first.to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The rows that are acknowledged after one more batch.
    fn next(&mut self) -> i64 {
        let stored = |line: std::io::Result<String>| line.unwrap().strip_prefix("stored ")?.parse().ok();
        self.lines.by_ref().find_map(stored).expect("the child writes")
    }

    /// SIGKILL; gives the rows that were acknowledged.
    fn kill(mut self, mut acknowledged: i64) -> i64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What it had said by then.
        for line in self.lines.by_ref().map_while(Result::ok) {
            acknowledged = line.strip_prefix("stored ").and_then(|n| n.parse().ok()).unwrap_or(acknowledged);
        }
        acknowledged
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many tables have a folder.
fn tables(data: &Path) -> usize {
    std::fs::read_dir(data.join("keyspaces")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_removes_rows_loses_no_other_row_and_half_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let (mut end, mut first) = (0, 0);
    // Killed when this many tables of a removal are gone; the last round in the middle of something else.
    for gone in [1, 2, 4, 0] {
        let mut writing = Writing::start(folder.path(), end);
        let begun = Instant::now();
        end = writing.next();
        // Far enough that rows are removed in each round.
        while end < first + 6_000 {
            end = writing.next();
        }
        let mut most = 0;
        loop {
            let there = tables(folder.path());
            most = most.max(there);
            if there + gone <= most {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "a removal");
            // The child must not wait for its output to be read.
            if most == there {
                end = writing.next();
            }
        }
        end = writing.kill(end);
        let store = Embedded::open(folder.path()).unwrap();
        let kept = assert_whole(&store, end).await;
        assert!(kept >= first, "rows do not come back");
        first = kept;
        // It may have written a batch that it did not acknowledge any more.
        end = all(&store).await.last().unwrap().parse::<i64>().unwrap() + 1;
    }
    assert!(first > 0, "rows were removed");
}

#[tokio::test]
async fn a_full_disk_has_room_again_when_the_store_may_keep_less() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(folder.path(), 400) {
        Ok(disk) => disk,
        Err(error) => return eprintln!("not tried: {error:#}"),
    };
    let data = disk.path().join("data");
    // It may use more than there is.
    let keep = Keep { bytes: Some(1_000 * MIB), ..small() };
    let store = Embedded::keeping(&data, &keep).unwrap();
    let mut end = 0;
    while store.append(larges(end..end + BATCH)).await.is_ok() {
        end += BATCH;
        assert!(end < 20_000, "the disk is full at some time");
    }
    assert_whole(&store, end).await;
    drop(store);
    disk.fill(0).unwrap();
    let store = Embedded::keeping(&data, &small()).unwrap();
    let begun = Instant::now();
    while store.append(larges(end..end + BATCH)).await.is_err() {
        assert!(begun.elapsed() < LIMIT, "it has room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(store);
    let store = Embedded::open(&data).unwrap();
    assert!(assert_whole(&store, end + BATCH).await > 0);
}
