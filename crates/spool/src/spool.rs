//! The two logs of an agent: scans, which are large and go when their verdict is recorded, and verdicts, which are small
//! and go when they are stored and no repeat can ask for them any more.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;

use crate::{Entry, Error, Log, Lost, Options};

/// Kinds of records. Their numbers are on disk: never reuse one.
pub(crate) mod kind {
    use crate::frame::Kind;

    pub const SCAN: Kind = 1;
    pub const RELEASED: Kind = 2;
    pub const COMMITTED: Kind = 3;
    pub const ACTUATED: Kind = 4;
}

/// Folders of the two logs.
pub(crate) const SCANS: &str = "scans";
/// See [`SCANS`].
pub(crate) const VERDICTS: &str = "verdicts";

/// Files of 16 MiB: what is read at once when a log is opened, and the piece in which room comes back.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A small log has at least so many files: one that is full with its first file gets no room back while it is open.
const SEGMENTS: u64 = 4;

/// Scans leave this much of the disk to the verdicts of those that were accepted: some 10,000.
const VERDICT_RESERVE_BYTES: u64 = 32 << 20;

/// How much the two logs may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of scans.
    pub scan_bytes: u64,
    /// Bytes of verdicts.
    pub verdict_bytes: u64,
}

/// An agent's memory on disk. Keys are whatever tells scans apart; payloads are whatever the agent writes.
#[derive(Debug)]
pub struct Spool {
    scans: Log,
    verdicts: Log,
}

/// A verdict that was recorded, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The verdict.
    pub entry: Entry,
    committed: Option<Entry>,
    /// Only of a verdict that was found: see [`Spool::actuated`].
    actuated: Option<Entry>,
}

/// What was left when the agent last ended.
#[derive(Debug, Default)]
pub struct SpoolContents {
    /// Scans without a verdict, oldest first.
    pub undecided: Vec<Entry>,
    /// Verdicts that are not known to be stored, oldest first.
    pub unsettled: Vec<Released>,
    /// Verdicts that are stored; repeats are still answered from them.
    pub settled: Vec<Released>,
    /// Records that were damaged or torn.
    pub lost: Vec<Lost>,
}

impl Spool {
    /// Opens the spool in `folder`, or begins one.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Self, SpoolContents), Error> {
        let keep_free_bytes = (limits.scan_bytes / 16).min(VERDICT_RESERVE_BYTES);
        let options = |limit_bytes: u64, keep_free_bytes| {
            let segment_bytes = SEGMENT_BYTES.min(limit_bytes / SEGMENTS);
            Options { segment_bytes, limit_bytes, keep_free_bytes }
        };
        let of_scans = options(limits.scan_bytes, keep_free_bytes);
        let of_verdicts = options(limits.verdict_bytes, 0);
        let (scans, of_scans) = Log::open(&folder.join(SCANS), of_scans)?;
        let (verdicts, of_verdicts) = Log::open(&folder.join(VERDICTS), of_verdicts)?;
        let spool = Self { scans, verdicts };
        let mut left = SpoolContents { lost: of_scans.lost, ..SpoolContents::default() };
        left.lost.extend(of_verdicts.lost);
        let released = spool.pair(of_verdicts.entries);
        for entry in of_scans.entries {
            // Its verdict was recorded, and then there was no time to let it go.
            if released.contains_key(&entry.id) {
                spool.scans.free(&entry);
            } else {
                left.undecided.push(entry);
            }
        }
        let mut released: Vec<Released> = released.into_values().collect();
        released.sort_unstable_by_key(|released| released.entry.position());
        (left.settled, left.unsettled) =
            released.into_iter().partition(|released| released.committed.is_some());
        Ok((spool, left))
    }

    /// Verdicts by key, with their marks. The first verdict of a key counts; there is no second one but by a defect.
    fn pair(&self, entries: Vec<Entry>) -> HashMap<String, Released> {
        let mut released = HashMap::<String, Released>::new();
        for entry in entries {
            match (entry.kind, released.get_mut(&entry.id)) {
                (kind::RELEASED, None) => {
                    released.insert(entry.id.clone(), Released::new(entry));
                }
                (kind::COMMITTED, Some(of)) if of.committed.is_none() => of.committed = Some(entry),
                (kind::ACTUATED, Some(of)) if of.actuated.is_none() => of.actuated = Some(entry),
                // A mark whose verdict is gone, or anything twice.
                _ => self.verdicts.free(&entry),
            }
        }
        released
    }

    /// Keeps a scan until its verdict is recorded. When this returns it is on disk.
    pub async fn accept(&self, key: &str, scan: Bytes) -> Result<Entry, Error> {
        self.scans.append(kind::SCAN, key, scan).await
    }

    /// Records the verdict that is about to be released. When this returns it is on disk; the scan can be
    /// [let go](Self::decided).
    pub async fn release(&self, key: &str, verdict: Bytes) -> Result<Released, Error> {
        let entry = self.verdicts.append(kind::RELEASED, key, verdict).await?;
        Ok(Released::new(entry))
    }

    /// Lets a scan go whose verdict is recorded.
    pub fn decided(&self, scan: &Entry) {
        self.scans.free(scan);
    }

    /// Notes that a verdict is stored. Without the note it would be sent again after a restart, which does no harm.
    pub async fn committed(&self, released: &mut Released) -> Result<(), Error> {
        let mark = self.verdicts.append(kind::COMMITTED, &released.entry.id, Bytes::new()).await?;
        released.committed = Some(mark);
        Ok(())
    }

    /// Notes that a sorter has done what a verdict says. Not fsynced: after a kill the note is there, and after a power cut
    /// nobody asks for it.
    pub async fn actuated(&self, key: &str) -> Result<(), Error> {
        let note = self.verdicts.note(kind::ACTUATED, key).await?;
        // It keeps no file alive: the verdicts around it are kept for longer than it matters.
        self.verdicts.free(&note);
        Ok(())
    }

    /// Lets a verdict go that no repeat will ask for.
    pub fn forget(&self, released: &Released) {
        for entry in released.entries() {
            self.verdicts.free(entry);
        }
    }

    /// A scan as it was accepted.
    pub fn scan(&self, entry: &Entry) -> Result<Bytes, Error> {
        self.scans.read(entry)
    }

    /// A verdict as it was released.
    pub fn verdict(&self, released: &Released) -> Result<Bytes, Error> {
        self.verdicts.read(&released.entry)
    }

    /// Comes back when nothing can be kept any more, because a thread that writes has panicked.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.scans.failed() => {}
            () = self.verdicts.failed() => {}
        }
    }

    /// Bytes of scans, and how many there may be.
    pub fn scan_bytes(&self) -> (u64, u64) {
        (self.scans.used(), self.scans.limit())
    }

    /// Bytes of verdicts, and how many there may be.
    pub fn verdict_bytes(&self) -> (u64, u64) {
        (self.verdicts.used(), self.verdicts.limit())
    }
}

impl Released {
    fn new(entry: Entry) -> Self {
        Self { entry, committed: None, actuated: None }
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        [Some(&self.entry), self.committed.as_ref(), self.actuated.as_ref()].into_iter().flatten()
    }

    /// Its size on disk.
    pub fn bytes(&self) -> u64 {
        self.entries().map(Entry::bytes).sum()
    }

    /// Whether it was found on disk that a sorter has done what it says.
    pub fn is_actuated(&self) -> bool {
        self.actuated.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { scan_bytes: 1 << 20, verdict_bytes: 1 << 20 };

    fn keys<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<&'e str> {
        entries.into_iter().map(|entry| entry.id.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_left_is_what_has_to_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, left) = Spool::open(folder.path(), LIMITS).expect("it opens");
        assert!(left.undecided.is_empty() && left.unsettled.is_empty() && left.settled.is_empty());
        for key in ["a", "b", "c"] {
            let scan = spool.accept(key, format!("scan {key}").into()).await.expect("room");
            if key == "c" {
                continue;
            }
            let mut verdict = spool.release(key, format!("verdict {key}").into()).await.expect("room");
            // The scan of b is not let go: as if everything had stopped in between.
            if key == "a" {
                spool.decided(&scan);
                spool.committed(&mut verdict).await.expect("room");
            }
        }
        drop(spool);
        let (spool, left) = Spool::open(folder.path(), LIMITS).expect("it opens");
        assert_eq!(keys(&left.undecided), ["c"]);
        assert_eq!(keys(left.unsettled.iter().map(|released| &released.entry)), ["b"]);
        assert_eq!(keys(left.settled.iter().map(|released| &released.entry)), ["a"]);
        assert_eq!(spool.scan(&left.undecided[0]).expect("it is there"), "scan c");
        assert_eq!(spool.verdict(&left.unsettled[0]).expect("it is there"), "verdict b");
    }

    #[tokio::test]
    async fn a_small_spool_that_was_full_has_room_again_when_verdicts_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, _) = Spool::open(folder.path(), LIMITS).expect("it opens");
        let mut verdicts = Vec::new();
        while let Ok(verdict) = spool.release("a", vec![0; 2_000].into()).await {
            verdicts.push(verdict);
        }
        for verdict in &verdicts {
            spool.forget(verdict);
        }
        // The files go by a thread of the log's own.
        let begun = std::time::Instant::now();
        while let Err(error) = spool.release("b", vec![0; 2_000].into()).await {
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "no room again: {error}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_sorter_did_is_known_after_any_number_of_restarts_until_its_verdict_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Spool::open(folder.path(), LIMITS).expect("it opens");
        let (spool, _) = open();
        for key in ["done", "waiting"] {
            spool.release(key, "verdict".into()).await.expect("room");
        }
        drop(spool);
        // The note is alone in its file.
        let (spool, _) = open();
        spool.actuated("done").await.expect("room");
        spool.actuated("done").await.expect("room");
        spool.actuated("unknown").await.expect("room");
        drop(spool);
        for _ in 0..3 {
            let (_, left) = open();
            let actuated: Vec<bool> = left.unsettled.iter().map(Released::is_actuated).collect();
            assert_eq!(
                (keys(left.unsettled.iter().map(|r| &r.entry)), actuated),
                (vec!["done", "waiting"], vec![true, false])
            );
        }
        let (spool, left) = open();
        for released in &left.unsettled {
            spool.forget(released);
        }
        drop(spool);
        let (spool, left) = open();
        assert_eq!((left.unsettled.len(), spool.verdict_bytes().0), (0, 0), "nothing keeps its file");
    }
}
