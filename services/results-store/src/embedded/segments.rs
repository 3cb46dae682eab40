//! The segments of a folder, oldest first; rows are written to the last, the open one.
//!
//! One keyspace lists them. A segment is there when it is listed: the list changes in one durable write, and what
//! keyspaces are left of a segment that is not listed, because the process was killed, goes at the next start.

use std::path::PathBuf;
use std::sync::Arc;

use fjall::{Database, Keyspace, PersistMode, Readable as _, Snapshot};
use jiff::Timestamp;
use parking_lot::RwLock;

use super::migration;
use super::read_error::ReadError;
use super::segment::{Segment, number_of, options};
use crate::keys;

/// Number of a segment to the millisecond of 1970 in which it was begun.
const LIST: &str = "segments";

/// Segments at one moment. Its holder can read them, also when they are removed meanwhile.
pub(super) type Listed = Arc<[Arc<Segment>]>;

pub(super) struct Segments {
    database: Database,
    list: Keyspace,
    /// Never empty.
    listed: RwLock<Listed>,
}

impl Segments {
    /// Opens those of a folder. One of an older release is a single segment, and is brought up to date first.
    pub fn open(database: &Database, now: Timestamp) -> Result<Self, ReadError> {
        let list = database.keyspace(LIST, options)?;
        let mut listed = Vec::new();
        for entry in list.iter() {
            let (number, begun_at) = read(&entry.into_inner()?)?;
            listed.push((number, begun_at));
        }
        if listed.is_empty() {
            let first = Segment::open(database, 0, now)?;
            migration::run(database, &first)?;
            let begun_at = first_acquired(database, &first)?.filter(|at| *at < now).unwrap_or(now);
            write(database, &list, 0, begun_at)?;
            listed.push((0, begun_at));
        }
        for name in database.list_keyspace_names() {
            let is_left =
                number_of(&name).is_some_and(|left| listed.iter().all(|(number, _)| *number != left));
            if is_left {
                database.delete_keyspace(database.keyspace(&name, options)?)?;
            }
        }
        let open = |(number, begun_at)| Segment::open(database, number, begun_at).map(Arc::new);
        let listed = listed.into_iter().map(open).collect::<fjall::Result<Listed>>()?;
        Ok(Self { database: database.clone(), list, listed: RwLock::new(listed) })
    }

    /// What can be read now. The snapshot is taken first: a row that moves from one segment to another is in one of
    /// them.
    pub fn view(&self) -> (Snapshot, Listed) {
        let now = self.database.snapshot();
        (now, self.listed.read().clone())
    }

    pub fn listed(&self) -> Listed {
        self.listed.read().clone()
    }

    /// Begins a new segment: rows are written to it from now on.
    pub fn begin(&self, now: Timestamp) -> fjall::Result<()> {
        let listed = self.listed();
        let number = listed.last().map_or(0, |open| open.number + 1);
        let segment = Segment::open(&self.database, number, now)?;
        write(&self.database, &self.list, number, now)?;
        *self.listed.write() = listed.iter().cloned().chain([Arc::new(segment)]).collect();
        // What is unsorted of the one before would stay in memory and in journals until another segment needs the room.
        for table in listed.iter().flat_map(|segment| segment.tables()) {
            table.rotate_memtable()?;
        }
        Ok(())
    }

    /// Removes the oldest segment, unless it is the open one. Gives the folders that are gone when nobody reads them any
    /// more, and about how many rows they held.
    pub fn remove_oldest(&self) -> fjall::Result<Option<Removed>> {
        let Some(oldest) = self.unlist_oldest()? else { return Ok(None) };
        let folders = oldest.tables().map(|table| table.path().to_owned()).into();
        let rows = oldest.rows.approximate_len() as u64;
        for table in oldest.tables() {
            self.database.delete_keyspace(table.clone())?;
        }
        Ok(Some(Removed { folders, rows }))
    }

    /// From here on the oldest segment is not there any more, whatever happens next.
    fn unlist_oldest(&self) -> fjall::Result<Option<Arc<Segment>>> {
        let listed = self.listed();
        let [oldest, rest @ ..] = &*listed else { return Ok(None) };
        if rest.is_empty() {
            return Ok(None);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.remove(&self.list, oldest.number.to_be_bytes());
        batch.commit()?;
        *self.listed.write() = rest.into();
        Ok(Some(oldest.clone()))
    }
}

pub(super) struct Removed {
    pub folders: Vec<PathBuf>,
    pub rows: u64,
}

fn write(database: &Database, list: &Keyspace, number: u32, begun_at: Timestamp) -> fjall::Result<()> {
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(list, number.to_be_bytes(), begun_at.as_millisecond().to_be_bytes());
    batch.commit()
}

fn read((number, begun_at): &fjall::KvPair) -> Result<(u32, Timestamp), ReadError> {
    let damaged = || ReadError::Damaged(format!("segment {number:?} was begun at {begun_at:?}"));
    let number = <[u8; 4]>::try_from(&**number).map_err(|_| damaged())?;
    let begun_at = <[u8; 8]>::try_from(&**begun_at).map_err(|_| damaged())?;
    let begun_at = Timestamp::from_millisecond(i64::from_be_bytes(begun_at)).map_err(|_| damaged())?;
    Ok((u32::from_be_bytes(number), begun_at))
}

/// When the first scan of a folder of an older release was acquired: about when its first row was stored.
fn first_acquired(database: &Database, segment: &Segment) -> Result<Option<Timestamp>, ReadError> {
    let now = database.snapshot();
    let (mut first, mut from) = (None, Vec::new());
    while let Some(entry) = now.range(&segment.rows, from..).next() {
        let key = entry.key()?;
        let Some((line, at, _)) = keys::read_row(&key) else {
            return Err(ReadError::Damaged(format!("a row has a key that is none: {key:?}")));
        };
        first = Some(first.map_or(at, |first: Timestamp| first.min(at)));
        from = keys::after_line(&line);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use ovomesh_api::pb::scan::v1::Row;
    use ovomesh_api::{EggId, LineId, ScanId};
    use ovomesh_testkit::wait_until;

    use super::super::migration::written;
    use super::super::tables::Tables;
    use super::*;
    use crate::once::Outcome;
    use crate::record::Record;
    use crate::store::{EggRange, LineRange};

    /// How long a test waits. Far longer than needed, because machines are busy.
    const LIMIT: Duration = Duration::from_secs(60);

    fn open(folder: &Path) -> Tables {
        Tables::open(folder, Timestamp::now()).unwrap_or_else(|_| panic!("it opens"))
    }

    fn append(tables: &Tables, rows: impl IntoIterator<Item = Row>) -> Vec<Outcome> {
        let record = |row| Record::parse(row, Timestamp::now()).unwrap();
        tables.append(rows.into_iter().map(record).collect()).unwrap_or_else(|_| panic!("they are stored"))
    }

    fn read(encoded: &bytes::Bytes) -> Row {
        prost::Message::decode(encoded.clone()).unwrap()
    }

    fn row(n: i64) -> Row {
        written::row("north", n, true)
    }

    /// Rows 0 to 29 in three segments.
    fn three(folder: &Path) -> Tables {
        let tables = open(folder);
        for n in [0, 10, 20] {
            if n > 0 {
                tables.segments.begin(Timestamp::now()).unwrap();
            }
            append(&tables, (n..n + 10).map(row));
        }
        tables
    }

    /// The scans that are found in each way. All must agree.
    fn scans(tables: &Tables) -> Vec<i64> {
        let range = LineRange {
            line: LineId::parse("north", "l").unwrap(),
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            limit: 1_000,
            token: Vec::new(),
        };
        let page = tables.list_line(&range).unwrap_or_else(|_| panic!("a page"));
        let listed: Vec<i64> = page.rows.iter().map(|row| read(row).scan_id.parse().unwrap()).collect();
        for n in 0..40 {
            let (scan_id, egg_id) =
                (ScanId::parse(&n.to_string()).unwrap(), EggId::parse(&format!("egg-{n}")).unwrap());
            let found = tables.get_scan(&scan_id, None).unwrap_or_else(|_| panic!("an answer"));
            let range = EggRange { egg_id, site: None, limit: 9, after: None };
            let egg = tables.list_egg(&range).unwrap_or_else(|_| panic!("an answer"));
            assert_eq!(found.len(), usize::from(listed.contains(&n)), "scan {n}");
            assert_eq!(egg.len(), found.len(), "the egg of scan {n}");
            assert!(found.iter().all(|(_, row)| read(row).preview.is_some()), "the picture of scan {n}");
        }
        listed
    }

    /// What a crash leaves of an open folder. Copied again when the engine removed a file meanwhile: a crash leaves the files
    /// of one moment.
    fn crashed(folder: &Path) -> tempfile::TempDir {
        for _ in 0..100 {
            let copy = tempfile::tempdir().unwrap();
            match copy_folder(folder, copy.path()) {
                Ok(()) => return copy,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
            }
        }
        panic!("the engine never rests");
    }

    fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let path = entry?.path();
            let target = to.join(path.file_name().unwrap());
            match path.is_dir() {
                true => copy_folder(&path, &target)?,
                false => std::fs::copy(&path, &target).map(drop)?,
            }
        }
        Ok(())
    }

    #[test]
    fn a_removal_that_is_cut_short_anywhere_is_finished_at_the_next_start() {
        for deleted in 0..=4 {
            let folder = tempfile::tempdir().unwrap();
            let tables = three(folder.path());
            let oldest = tables.segments.unlist_oldest().unwrap().unwrap();
            for table in &oldest.tables()[..deleted] {
                tables.segments.database.delete_keyspace((*table).clone()).unwrap();
            }
            assert_eq!(scans(&tables), (10..30).collect::<Vec<_>>());
            let copy = crashed(folder.path());
            let again = open(copy.path());
            assert_eq!(scans(&again), (10..30).collect::<Vec<_>>(), "after {deleted} of 4 tables");
            let names = again.segments.database.list_keyspace_names();
            assert_eq!(names.iter().filter(|name| number_of(name) == Some(0)).count(), 0, "{names:?}");
            append(&again, [row(30)]);
            again.segments.begin(Timestamp::now()).unwrap();
            assert_eq!(again.segments.listed().last().unwrap().number, 3);
            drop(again);
            assert_eq!(scans(&open(copy.path())), (10..31).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_segment_that_was_made_and_not_listed_when_the_process_died_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let tables = three(folder.path());
        Segment::open(&tables.segments.database, 3, Timestamp::now()).unwrap();
        let copy = crashed(folder.path());
        let again = open(copy.path());
        assert_eq!(again.segments.listed().len(), 3);
        again.segments.begin(Timestamp::now()).unwrap();
        append(&again, [row(30)]);
        assert_eq!(scans(&again), (0..31).collect::<Vec<_>>());
    }

    /// Waits until these folders use no disk: the database's own threads may have them for a moment longer.
    fn until_gone<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) {
        for folder in folders {
            wait_until("its disk is free", LIMIT, || (!folder.exists()).then_some(())).unwrap();
        }
    }

    #[test]
    fn the_last_segment_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let tables = three(folder.path());
        let removed: Vec<_> = (0..3).map(|_| tables.segments.remove_oldest().unwrap()).collect();
        assert_eq!(removed.iter().flatten().map(|removed| removed.rows).collect::<Vec<_>>(), [10, 10]);
        assert_eq!(scans(&tables), (20..30).collect::<Vec<_>>());
        until_gone(removed.iter().flatten().flat_map(|removed| &removed.folders));
    }

    #[test]
    fn a_reader_that_began_before_a_removal_still_reads() {
        let folder = tempfile::tempdir().unwrap();
        let tables = three(folder.path());
        let (now, listed) = tables.segments.view();
        let removed = tables.segments.remove_oldest().unwrap().unwrap();
        assert!(removed.folders.iter().all(|folder| folder.exists()));
        assert_eq!(now.range(&listed[0].rows, Vec::<u8>::new()..).count(), 10);
        drop((now, listed));
        until_gone(&removed.folders);
    }

    #[test]
    fn a_row_that_replaces_another_is_kept_as_a_new_one_and_a_retry_as_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let tables = open(folder.path());
        let unsettled = |n| Row { settled: false, ..row(n) };
        append(&tables, [unsettled(0), unsettled(1), row(2)]);
        tables.segments.begin(Timestamp::now()).unwrap();
        let another = Row { volume_crc32c: 8, ..unsettled(1) };
        assert_eq!(append(&tables, [unsettled(0), another, row(2)]), vec![Outcome::Written; 3]);
        assert_eq!(scans(&tables), [0, 1, 2]);
        tables.segments.remove_oldest().unwrap();
        assert_eq!(scans(&tables), [1]);
        let other_egg = Row { egg_id: "egg-39".into(), ..row(2) };
        assert_eq!(
            append(&tables, [other_egg]),
            [Outcome::Written],
            "nothing is remembered of a removed row"
        );
    }
}
