//! A look into a spool that nobody has open, which changes nothing in it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::frame::Kind;
use crate::spool::{SCANS, VERDICTS, kind};
use crate::{Error, Lost, log, segment};

/// What is in a spool.
#[derive(Debug, Default)]
pub struct Inspected {
    /// Records that matter, oldest first: scans, then verdicts.
    pub records: Vec<RecordInfo>,
    /// Records that are damaged or torn.
    pub lost: Vec<Lost>,
    /// Bytes of all files.
    pub bytes: u64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordInfo {
    /// Whose.
    pub id: String,
    /// How far it is.
    pub state: State,
    /// Bytes of its payload.
    pub bytes: u64,
    /// Its file.
    pub path: PathBuf,
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Accepted, and no verdict is recorded.
    Undecided,
    /// Its verdict is recorded, and not known to be stored.
    Unsettled,
    /// Its verdict is stored; repeats are answered from here.
    Settled,
}

/// Looks into the spool in `folder`.
pub fn inspect(folder: &Path) -> Result<Inspected, Error> {
    let mut inspected = Inspected::default();
    let scans = look(&folder.join(SCANS), &mut inspected)?;
    let verdicts = look(&folder.join(VERDICTS), &mut inspected)?;
    let mut decided = HashMap::<String, State>::new();
    for (kind, record) in &verdicts {
        match *kind {
            kind::RELEASED => {
                decided.entry(record.id.clone()).or_insert(State::Unsettled);
            }
            kind::COMMITTED => {
                decided.entry(record.id.clone()).and_modify(|state| *state = State::Settled);
            }
            // What a sorter did says nothing of the store.
            _ => {}
        }
    }
    let undecided = scans.into_iter().filter(|(_, record)| !decided.contains_key(&record.id));
    inspected.records.extend(undecided.map(|(_, record)| record));
    let released = verdicts.into_iter().filter(|(kind, _)| *kind == kind::RELEASED);
    inspected.records.extend(released.map(|(_, record)| {
        let state = decided.get(&record.id).copied().unwrap_or(State::Unsettled);
        RecordInfo { state, ..record }
    }));
    Ok(inspected)
}

/// All whole records of a log.
fn look(folder: &Path, into: &mut Inspected) -> Result<Vec<(Kind, RecordInfo)>, Error> {
    let lock = folder.join(log::LOCK);
    let lock = File::open(&lock).map_err(|error| Error::io(&lock, &error))?;
    // Shared: any number may look, while no agent has it open.
    match lock.try_lock_shared() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Locked { folder: folder.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => return Err(Error::io(folder, &error)),
    }
    let mut records = Vec::new();
    for number in segment::list(folder)? {
        let contents = segment::read(folder, number)?;
        let path = segment::path(folder, number);
        into.bytes += contents.bytes;
        into.lost.extend(contents.damage.into_iter().map(|damage| Lost::new(path.clone(), damage)));
        records.extend(contents.records.into_iter().map(|record| {
            let bytes = record.payload.len() as u64;
            (record.kind, RecordInfo { id: record.id, state: State::Undecided, bytes, path: path.clone() })
        }));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Spool};

    #[tokio::test]
    async fn a_look_shows_how_far_each_scan_is_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { scan_bytes: 1 << 20, verdict_bytes: 1 << 20 };
        let (spool, _) = Spool::open(folder.path(), limits).expect("it opens");
        for key in ["undecided", "unsettled", "settled"] {
            spool.accept(key, "a scan".into()).await.expect("room");
        }
        for key in ["unsettled", "settled"] {
            let mut verdict = spool.release(key, "a verdict".into()).await.expect("room");
            spool.actuated(key).await.expect("room");
            if key == "settled" {
                spool.committed(&mut verdict).await.expect("room");
            }
        }
        assert!(matches!(inspect(folder.path()), Err(Error::Locked { .. })), "an agent has it");
        drop(spool);
        for _ in 0..2 {
            let inspected = inspect(folder.path()).expect("nobody has it");
            let record: Vec<_> =
                inspected.records.iter().map(|record| (record.id.as_str(), record.state)).collect();
            let all = [
                ("undecided", State::Undecided),
                ("unsettled", State::Unsettled),
                ("settled", State::Settled),
            ];
            assert_eq!(record, all);
            assert!(inspected.lost.is_empty() && inspected.bytes > 0);
        }
    }
}
