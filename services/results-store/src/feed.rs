//! The live feed: the last rows in the order of their commits, for readers that are a little behind.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Rows kept: a minute of the headline rate, about 32 MiB as they are stored.
const KEPT: usize = 65_536;

pub struct Feed {
    /// Tells tokens of this process from those of another.
    instance: u64,
    last: Mutex<Last>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Last {
    /// Encoded.
    rows: VecDeque<Bytes>,
    /// Number of the first row that is kept.
    first: u64,
}

/// A part of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Encoded rows in the order of their commits.
    pub rows: Vec<Bytes>,
    /// The number after the last of them.
    pub next: u64,
    /// Rows between the position asked for and the first kept one.
    pub lagged: u64,
}

/// Where a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At this row.
    At(u64),
    /// In the feed of another process, of which nothing is known: rows may have been missed.
    Unknown,
}

impl Feed {
    /// An empty feed; `instance` is a random number.
    pub fn new(instance: u64) -> Self {
        Self { instance, last: Mutex::default(), written: watch::Sender::new(0) }
    }

    /// Adds encoded rows that are durable now.
    pub fn push(&self, rows: Vec<Bytes>) {
        let mut last = self.last.lock();
        last.rows.extend(rows);
        let old = last.rows.len().saturating_sub(KEPT);
        last.rows.drain(..old);
        last.first += old as u64;
        let end = last.end();
        drop(last);
        self.written.send_replace(end);
    }

    /// Tells whenever rows are added.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// The number of the next row.
    pub fn end(&self) -> u64 {
        self.last.lock().end()
    }

    /// Rows from `from` on: at most `most`, and no more than one beyond `bytes`.
    pub fn read(&self, from: u64, most: usize, bytes: usize) -> Part {
        let last = self.last.lock();
        let start = from.clamp(last.first, last.end());
        let skip = usize::try_from(start - last.first).unwrap_or(usize::MAX);
        let mut taken = 0;
        let within = |row: &&Bytes| {
            let room = taken < bytes;
            taken += row.len();
            room
        };
        let rows: Vec<_> = last.rows.range(skip..).take(most).take_while(within).cloned().collect();
        Part { next: start + rows.len() as u64, lagged: start.saturating_sub(from), rows }
    }

    /// Where a token stands.
    pub fn position(&self, token: &[u8]) -> Option<Position> {
        let (instance, number) = token.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let own = u64::from_be_bytes(*instance) == self.instance && number <= self.end();
        Some(if own { Position::At(number) } else { Position::Unknown })
    }

    /// The token of a row's number. Tokens of one process begin with the same 8 bytes and grow as bytes: readers may rely
    /// on it to know which of two is further on.
    pub fn token(&self, number: u64) -> Vec<u8> {
        [self.instance.to_be_bytes(), number.to_be_bytes()].concat()
    }
}

impl Last {
    fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = usize::MAX;

    fn rows(ids: std::ops::Range<usize>) -> Vec<Bytes> {
        ids.map(|n| Bytes::from(n.to_string())).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let feed = Feed::new(7);
        feed.push(rows(0..10));
        let part = feed.read(0, 4, ALL);
        assert_eq!((part.rows, part.next, part.lagged), (rows(0..4), 4, 0));
        assert_eq!(feed.position(&feed.token(part.next)), Some(Position::At(4)));
        assert_eq!(feed.read(4, 100, ALL).rows, rows(4..10));
        assert_eq!(feed.read(10, 100, ALL), Part { rows: vec![], next: 10, lagged: 0 });
    }

    #[test]
    fn a_part_is_bounded_in_bytes_and_never_empty() {
        let feed = Feed::new(7);
        feed.push((0..5).map(|_| Bytes::from_static(&[0; 100])).collect());
        assert_eq!(feed.read(0, 100, 250).next, 3, "the row that reaches the bound is the last");
        assert_eq!(feed.read(0, 100, 1).next, 1);
    }

    #[test]
    fn a_reader_that_is_too_slow_learns_how_many_it_missed() {
        let feed = Feed::new(7);
        feed.push(rows(0..KEPT));
        feed.push(rows(KEPT..KEPT + 5));
        let part = feed.read(0, 1, ALL);
        assert_eq!((part.rows, part.next, part.lagged), (rows(5..6), 6, 5));
    }

    #[test]
    fn a_token_of_another_process_is_known_as_such_and_nonsense_as_none() {
        let (feed, other) = (Feed::new(7), Feed::new(8));
        assert_eq!(feed.position(&other.token(0)), Some(Position::Unknown));
        assert_eq!(feed.position(&feed.token(99)), Some(Position::Unknown));
        assert_eq!(feed.position(b"nonsense"), None);
    }
}
