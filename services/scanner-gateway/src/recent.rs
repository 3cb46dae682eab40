//! Scans that were answered a moment ago, so that a repeat gets the same answer and a reused id is found out.
//!
//! This is a help for scanners without an agent; it is lost with the process. Only an agent remembers for certain.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ovomesh_api::{Image, LineId, Row, ScanId, ScanMeta};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an answer is kept: longer than any retry of a scanner.
const KEPT: Duration = Duration::from_secs(600);
/// Answers kept at most; a row without its picture takes about 1 KiB.
const MOST: usize = 16_384;

/// What is known of a scan.
#[derive(Debug)]
pub enum Lookup<'a> {
    /// Nothing: decide it, then call [`Ticket::answered`], or drop the ticket.
    New(Ticket<'a>),
    /// It is being decided: wait for the answer.
    InFlight(watch::Receiver<Option<Row>>),
    /// It was answered with this row.
    Answered(Box<Row>),
    /// The same id came with other bytes.
    Reused,
}

/// The right to decide one scan. Dropped without an answer worth keeping (its session broke, the scan was rejected), the
/// scan is new again.
#[derive(Debug)]
pub struct Ticket<'a> {
    recent: &'a Recent,
    key: Key,
    waiting: watch::Sender<Option<Row>>,
}

type Key = (LineId, ScanId);

#[derive(Debug)]
enum State {
    InFlight(watch::Receiver<Option<Row>>),
    Answered(Box<Row>),
}

/// The memory, shared by all sessions of a gateway.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    scans: HashMap<Key, (Image, State)>,
    order: VecDeque<(Instant, Key)>,
}

impl Recent {
    /// Looks a scan up and, if it is new, notes that it is in flight.
    pub fn look_up(&self, meta: &ScanMeta) -> Lookup<'_> {
        let mut inner = self.0.lock();
        let key = key(meta);
        match inner.scans.get(&key) {
            Some((image, _)) if *image != meta.image => Lookup::Reused,
            Some((_, State::Answered(row))) => Lookup::Answered(row.clone()),
            Some((_, State::InFlight(answer))) => Lookup::InFlight(answer.clone()),
            None => {
                let (waiting, answer) = watch::channel(None);
                inner.scans.insert(key.clone(), (meta.image, State::InFlight(answer)));
                Lookup::New(Ticket { recent: self, key, waiting })
            }
        }
    }
}

impl Ticket<'_> {
    /// Gives the answer to all callers that wait for the same scan, and keeps it for repeats. `keep` is false for answers
    /// that a repeat may improve (expired, failed).
    pub fn answered(self, mut row: Row, keep: bool) {
        row.preview = None;
        self.waiting.send_replace(Some(row.clone()));
        if !keep {
            return;
        }
        let mut inner = self.recent.0.lock();
        if let Some((_, state)) = inner.scans.get_mut(&self.key) {
            *state = State::Answered(Box::new(row));
        }
        inner.order.push_back((Instant::now(), self.key.clone()));
        inner.forget_old();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut inner = self.recent.0.lock();
        if let Some((_, State::InFlight(_))) = inner.scans.get(&self.key) {
            inner.scans.remove(&self.key);
        }
    }
}

impl Inner {
    fn forget_old(&mut self) {
        while let Some((at, _)) = self.order.front() {
            if self.order.len() <= MOST && at.elapsed() < KEPT {
                break;
            }
            if let Some((_, key)) = self.order.pop_front() {
                self.scans.remove(&key);
            }
        }
    }
}

/// An id belongs to its line: a scanner cannot ask for another line's answers.
fn key(meta: &ScanMeta) -> Key {
    (meta.place.line_id.clone(), meta.scan_id.clone())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn meta(id: &str, checksum: u32) -> ScanMeta {
        ScanMeta { image: Image::Whole(checksum), ..row(id).meta }
    }

    /// A MALE of a scan.
    pub(crate) fn row(id: &str) -> Row {
        Row::example("n", "1", id)
    }

    fn new<'a>(recent: &'a Recent, meta: &ScanMeta) -> Ticket<'a> {
        match recent.look_up(meta) {
            Lookup::New(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_repeat_gets_the_same_answer_and_a_reused_id_is_found_out() {
        let recent = Recent::default();
        let ticket = new(&recent, &meta("a", 1));
        let Lookup::InFlight(mut answer) = recent.look_up(&meta("a", 1)) else { panic!() };
        let row = row("a");
        ticket.answered(row.clone(), true);
        assert_eq!(answer.wait_for(Option::is_some).await.unwrap().as_ref(), Some(&row));
        assert!(matches!(recent.look_up(&meta("a", 1)), Lookup::Answered(kept) if *kept == row));
        assert!(matches!(recent.look_up(&meta("a", 2)), Lookup::Reused));
    }

    #[tokio::test]
    async fn a_scan_whose_session_broke_is_new_again_and_leaves_nothing() {
        let recent = Recent::default();
        let broken = new(&recent, &meta("a", 1));
        let Lookup::InFlight(mut answer) = recent.look_up(&meta("a", 1)) else { panic!() };
        drop(broken);
        assert!(answer.wait_for(Option::is_some).await.is_err(), "who waits for it must not wait for ever");
        drop(new(&recent, &meta("a", 2)));
        assert!(recent.0.lock().scans.is_empty());
    }

    #[tokio::test]
    async fn an_answer_that_may_improve_is_not_kept() {
        let recent = Recent::default();
        let ticket = new(&recent, &meta("a", 1));
        ticket.answered(row("a"), false);
        new(&recent, &meta("a", 1));
    }

    #[tokio::test]
    async fn the_memory_is_bounded() {
        let recent = Recent::default();
        for n in 0..MOST + 100 {
            let ticket = new(&recent, &meta(&n.to_string(), 1));
            ticket.answered(row("a"), true);
        }
        assert_eq!(recent.0.lock().scans.len(), MOST);
    }
}
