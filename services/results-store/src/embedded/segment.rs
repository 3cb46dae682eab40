//! One portion of the rows: all rows that were stored between two moments, in tables of their own.
//!
//! A portion is removed as a whole, which frees its disk at once and costs no rewriting of what stays.

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use jiff::Timestamp;

/// Unsorted rows of one keyspace in memory. With the four keyspaces of the open segment and one more of each on its way
/// to disk 128 MiB.
const UNSORTED_BYTES: u64 = 16 << 20;
/// The keyspaces of a segment; in folders of older releases they stand for all rows.
const NAMES: [&str; 4] = ["rows", "scans", "eggs", "pictures"];

/// The tables of one segment.
pub(super) struct Segment {
    pub number: u32,
    /// All its rows were stored since then.
    pub begun_at: Timestamp,
    /// Line key to row.
    pub rows: Keyspace,
    /// Scan key to line key.
    pub scans: Keyspace,
    /// Egg key to line key.
    pub eggs: Keyspace,
    /// Scan key to picture.
    pub pictures: Keyspace,
}

impl Segment {
    /// Opens its tables; makes those that are not there.
    pub fn open(database: &Database, number: u32, begun_at: Timestamp) -> fjall::Result<Self> {
        let [rows, scans, eggs, pictures] =
            NAMES.map(|table| database.keyspace(&name(table, number), options));
        Ok(Self { number, begun_at, rows: rows?, scans: scans?, eggs: eggs?, pictures: pictures? })
    }

    pub fn tables(&self) -> [&Keyspace; 4] {
        [&self.rows, &self.scans, &self.eggs, &self.pictures]
    }

    /// Bytes of its sorted tables on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.tables().into_iter().map(Keyspace::disk_space).sum()
    }
}

/// How a keyspace is made.
pub(super) fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(UNSORTED_BYTES)
}

fn name(table: &str, number: u32) -> String {
    match number {
        0 => table.to_owned(),
        _ => format!("{table}-{number}"),
    }
}

/// The number of the segment that a keyspace belongs to.
pub(super) fn number_of(keyspace: &str) -> Option<u32> {
    let (table, number) = match keyspace.split_once('-') {
        Some((table, number)) => (table, number.parse().ok()?),
        None => (keyspace, 0),
    };
    NAMES.contains(&table).then_some(number)
}
