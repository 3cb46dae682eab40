//! The live feed: the last rows in the order of their commits, for readers that are a little behind.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ovomesh_api::pb::scan::v1::Row;
use tokio::sync::watch;

/// Rows kept: a minute of the headline rate, about 32 MiB.
const KEPT: usize = 65_536;

/// The last rows.
pub struct Feed {
    /// Tells tokens of this process from those of another.
    instance: u64,
    last: Mutex<Last>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Last {
    rows: VecDeque<Arc<Row>>,
    /// Number of the first row that is kept.
    first: u64,
}

/// A part of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Rows in the order of their commits.
    pub rows: Vec<Arc<Row>>,
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

    /// Adds rows that are durable now.
    pub fn push(&self, rows: Vec<Row>) {
        let mut last = self.lock();
        last.rows.extend(rows.into_iter().map(Arc::new));
        while last.rows.len() > KEPT {
            last.rows.pop_front();
            last.first += 1;
        }
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
        self.lock().end()
    }

    /// At most `most` rows from `from` on.
    pub fn read(&self, from: u64, most: usize) -> Part {
        let last = self.lock();
        let start = from.clamp(last.first, last.end());
        let skip = usize::try_from(start - last.first).unwrap_or(usize::MAX);
        let rows: Vec<_> = last.rows.iter().skip(skip).take(most).cloned().collect();
        Part { next: start + rows.len() as u64, lagged: start.saturating_sub(from), rows }
    }

    /// Where a token stands.
    pub fn position(&self, token: &[u8]) -> Option<Position> {
        let (instance, number) = token.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let own = u64::from_be_bytes(*instance) == self.instance && number <= self.end();
        Some(if own { Position::At(number) } else { Position::Unknown })
    }

    /// The token of a row's number.
    pub fn token(&self, number: u64) -> Vec<u8> {
        [self.instance.to_be_bytes(), number.to_be_bytes()].concat()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn rows(ids: std::ops::Range<usize>) -> Vec<Row> {
        ids.map(|n| Row { scan_id: n.to_string(), ..Default::default() }).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let feed = Feed::new(7);
        feed.push(rows(0..10));
        let part = feed.read(0, 4);
        assert_eq!((part.rows.len(), part.next, part.lagged), (4, 4, 0));
        assert_eq!(feed.position(&feed.token(part.next)), Some(Position::At(4)));
        assert_eq!(feed.read(4, 100).rows.len(), 6);
    }

    #[test]
    fn a_reader_that_is_too_slow_learns_how_many_it_missed() {
        let feed = Feed::new(7);
        feed.push(rows(0..KEPT + 5));
        assert_eq!(feed.read(0, 1).lagged, 5);
    }

    #[test]
    fn a_token_of_another_process_is_known_as_such_and_nonsense_as_none() {
        let (feed, other) = (Feed::new(7), Feed::new(8));
        assert_eq!(feed.position(&other.token(0)), Some(Position::Unknown));
        assert_eq!(feed.position(&feed.token(99)), Some(Position::Unknown));
        assert_eq!(feed.position(b"nonsense"), None);
    }
}
