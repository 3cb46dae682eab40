//! Scans that were answered a moment ago, so that a repeat gets the same answer and a reused id is found out.
//!
//! This is a help for scanners without an agent; it is lost with the process. Only an agent remembers for certain.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::{Place, ScanId, ScanMeta};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an answer is kept: longer than any retry of a scanner.
const KEPT: Duration = Duration::from_secs(600);
/// Answers kept at most; a row without its picture takes about 1 KiB.
const MOST: usize = 16_384;

/// What is known of a scan.
#[derive(Debug)]
pub enum Seen {
    /// Nothing: decide it, then tell [`Recent::answered`] or drop the ticket.
    New(Ticket),
    /// It is being decided: wait for the answer.
    InFlight(watch::Receiver<Option<Row>>),
    /// It was answered with this row.
    Answered(Box<Row>),
    /// The same id came with other bytes.
    Reused,
}

/// The right to decide one scan.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    waiting: watch::Sender<Option<Row>>,
}

type Key = (Place, ScanId);

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
    scans: HashMap<Key, (u32, State)>,
    order: VecDeque<(Instant, Key)>,
}

impl Recent {
    /// Looks a scan up and, if it is new, notes that it is in flight.
    pub fn see(&self, meta: &ScanMeta) -> Seen {
        let mut inner = self.lock();
        let key = key(meta);
        match inner.scans.get(&key) {
            Some((checksum, _)) if *checksum != meta.checksum => Seen::Reused,
            Some((_, State::Answered(row))) => Seen::Answered(row.clone()),
            // A ticket that was dropped (its session broke) leaves a closed channel: the scan is new again.
            Some((_, State::InFlight(answer))) if answer.has_changed().is_ok() => {
                Seen::InFlight(answer.clone())
            }
            _ => {
                let (waiting, answer) = watch::channel(None);
                inner.scans.insert(key.clone(), (meta.checksum, State::InFlight(answer)));
                Seen::New(Ticket { key, waiting })
            }
        }
    }

    /// Notes the answer, and gives it to whoever waits for the same scan. `keep` is false for answers that a repeat
    /// may improve (expired, failed): those are forgotten.
    pub fn answered(&self, ticket: Ticket, mut row: Row, keep: bool) {
        row.preview = None;
        ticket.waiting.send_replace(Some(row.clone()));
        let mut inner = self.lock();
        if !keep {
            inner.scans.remove(&ticket.key);
            return;
        }
        if let Some((_, state)) = inner.scans.get_mut(&ticket.key) {
            *state = State::Answered(Box::new(row));
        }
        inner.order.push_back((Instant::now(), ticket.key));
        inner.forget_old();
    }

    /// Forgets a scan that got no verdict.
    pub fn forget(&self, ticket: &Ticket) {
        self.lock().scans.remove(&ticket.key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// An id belongs to its line: a scanner cannot ask for another line's answers. The slot is no part of it.
fn key(meta: &ScanMeta) -> Key {
    let place = Place { tray_run: String::new(), slot: 0, ..meta.place.clone() };
    (place, meta.scan_id.clone())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ovomesh_api::{Line, Site, pb};

    use super::*;

    fn meta(id: &str, checksum: u32) -> ScanMeta {
        let (site, line) = (Site::parse("n").unwrap(), Line::parse("1").unwrap());
        ScanMeta {
            scan_id: ScanId::parse(id).unwrap(),
            egg_id: None,
            place: Place { site, line, tray_run: String::new(), slot: 0 },
            batch_id: String::new(),
            coil: String::new(),
            purpose: pb::scan::v1::Purpose::Test,
            rescan_of: None,
            acquired_at: Timestamp::UNIX_EPOCH,
            received_at: Timestamp::UNIX_EPOCH,
            clock_suspect: false,
            checksum,
        }
    }

    fn new(recent: &Recent, meta: &ScanMeta) -> Ticket {
        match recent.see(meta) {
            Seen::New(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_repeat_gets_the_same_answer_and_a_reused_id_is_found_out() {
        let recent = Recent::default();
        let ticket = new(&recent, &meta("a", 1));
        let Seen::InFlight(mut answer) = recent.see(&meta("a", 1)) else { panic!() };
        let row = Row { scan_id: "a".into(), ..Default::default() };
        recent.answered(ticket, row.clone(), true);
        assert_eq!(answer.wait_for(Option::is_some).await.unwrap().as_ref(), Some(&row));
        assert!(matches!(recent.see(&meta("a", 1)), Seen::Answered(kept) if *kept == row));
        assert!(matches!(recent.see(&meta("a", 2)), Seen::Reused));
    }

    #[tokio::test]
    async fn a_scan_whose_session_broke_is_new_again() {
        let recent = Recent::default();
        drop(new(&recent, &meta("a", 1)));
        new(&recent, &meta("a", 1));
    }

    #[tokio::test]
    async fn an_answer_that_may_improve_is_not_kept() {
        let recent = Recent::default();
        let ticket = new(&recent, &meta("a", 1));
        recent.answered(ticket, Row::default(), false);
        new(&recent, &meta("a", 1));
    }

    #[tokio::test]
    async fn the_memory_is_bounded() {
        let recent = Recent::default();
        for n in 0..MOST + 100 {
            let ticket = new(&recent, &meta(&n.to_string(), 1));
            recent.answered(ticket, Row::default(), true);
        }
        assert_eq!(recent.lock().scans.len(), MOST);
    }
}
