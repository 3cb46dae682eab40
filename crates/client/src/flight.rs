//! Which scans wait, are unanswered or uncommitted, and what an answer means for them. No I/O, no clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::{RejectCode, Rejected, Scan, Verdict};
use ovomesh_api::{Invalid, thousands, time};
use tokio::time::Instant;

use crate::scanner::{Event, Keep};

/// Verdicts whose Committed is waited for. Of a further one it is not: some minutes of the fastest line.
const UNCOMMITTED: usize = 16_384;

/// A scan, and when it was handed over: its budget is counted from then.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) scan: Arc<Scan>,
    pub(crate) since: Instant,
}

impl Timed {
    /// The scan as it is written at `now`: with what is left of its budget.
    pub(crate) fn write(self, now: Instant) -> Scan {
        let spent = now.saturating_duration_since(self.since);
        let mut scan = Arc::unwrap_or_clone(self.scan);
        // A budget that is none is left for the server to refuse.
        if let Some(budget) = scan.budget
            && let Ok(left) = time::budget_from_pb("budget", budget)
        {
            scan.budget = Some(time::budget_to_pb(left.saturating_sub(spent)));
        }
        scan
    }

    fn bytes(&self) -> u64 {
        self.scan.volume.as_ref().map_or(0, |volume| volume.samples.len() as u64)
    }
}

/// What a session lets out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credit {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
    pub(crate) max_volume_bytes: u64,
}

/// What the next step of sending is.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing waits, or there is no credit.
    Nothing,
    /// A scan may be sent: [`Flight::sent`] when it was.
    Send(Timed),
    /// No server of this session's kind takes the scan; it is out of the flight.
    TooLarge(Rejected),
}

#[derive(Clone, Debug)]
struct Unanswered {
    timed: Timed,
    /// Counts up over all scans: those that are sent again keep their order.
    number: u64,
    is_accepted: bool,
}

/// All scans of a client that are not done.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    waiting: VecDeque<(u64, Timed)>,
    unanswered: HashMap<String, Unanswered>,
    unanswered_bytes: u64,
    uncommitted: HashSet<String>,
    count: u64,
}

impl Flight {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting.iter().map(|(_, timed)| timed.bytes()).sum()
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    pub(crate) fn uncommitted(&self) -> usize {
        self.uncommitted.len()
    }

    /// Whether this id waits for something.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.waiting.iter().any(|(_, timed)| timed.scan.scan_id == id)
            || self.unanswered.contains_key(id)
            || self.uncommitted.contains(id)
    }

    pub(crate) fn push(&mut self, scan: Scan, now: Instant) {
        self.waiting.push_back((self.count, Timed { scan: Arc::new(scan), since: now }));
        self.count += 1;
    }

    /// What may be sent now. One scan may always be, however large, so that none waits for ever.
    pub(crate) fn next(&mut self, credit: Credit) -> Next {
        let Some((_, timed)) = self.waiting.front() else { return Next::Nothing };
        let bytes = timed.bytes();
        if bytes > credit.max_volume_bytes {
            let (has, most) = (thousands(bytes), thousands(credit.max_volume_bytes));
            let rejected = Invalid::field("volume.samples", &has, format!("at most {most} bytes"))
                .because(RejectCode::TooLarge, format!("it has {has} bytes; this server takes {most}"))
                .rejected(&timed.scan.scan_id);
            self.waiting.pop_front();
            return Next::TooLarge(rejected);
        }
        let is_alone = self.unanswered.is_empty();
        let has_room = self.unanswered.len() < credit.messages
            && self.unanswered_bytes.saturating_add(bytes) <= credit.bytes;
        if is_alone || has_room { Next::Send(timed.clone()) } else { Next::Nothing }
    }

    /// The scan that [`Flight::next`] offered is with the transport.
    pub(crate) fn sent(&mut self) -> Option<String> {
        let (number, timed) = self.waiting.pop_front()?;
        let id = timed.scan.scan_id.clone();
        self.unanswered_bytes += timed.bytes();
        self.unanswered.insert(id.clone(), Unanswered { timed, number, is_accepted: false });
        Some(id)
    }

    pub(crate) fn accepted(&mut self, id: String) -> Event {
        match self.unanswered.get_mut(&id) {
            Some(unanswered) if !unanswered.is_accepted => {
                unanswered.is_accepted = true;
                Event::Accepted { scan_id: id }
            }
            _ => Event::Unexpected { scan_id: id, answer: "Accepted" },
        }
    }

    /// A verdict arrived. A second event says whether its Committed is waited for.
    pub(crate) fn verdict(&mut self, verdict: Verdict) -> [Option<Event>; 2] {
        let id = verdict.scan_id.clone();
        if self.take(&id).is_none() {
            return [Some(Event::Unexpected { scan_id: id, answer: "Verdict" }), None];
        }
        let unconfirmed = if self.uncommitted.len() < UNCOMMITTED {
            self.uncommitted.insert(id);
            None
        } else {
            Some(Event::Unconfirmed { scan_id: id })
        };
        [Some(Event::Verdict(Box::new(verdict))), unconfirmed]
    }

    pub(crate) fn committed(&mut self, id: String) -> Event {
        if self.uncommitted.remove(&id) {
            Event::Committed { scan_id: id }
        } else {
            Event::Unexpected { scan_id: id, answer: "Committed" }
        }
    }

    /// A rejection arrived at `now`. A scan that may be sent again waits again, if it was handed over less than `retry` ago.
    pub(crate) fn rejected(&mut self, rejected: Rejected, now: Instant, retry: Duration) -> Option<Event> {
        let Some(Unanswered { timed, number, .. }) = self.take(&rejected.scan_id) else {
            return Some(Event::Unexpected { scan_id: rejected.scan_id, answer: "Rejected" });
        };
        if rejected.retryable && now.saturating_duration_since(timed.since) < retry {
            self.waiting.push_front((number, timed));
            return None;
        }
        Some(Event::Rejected(Box::new(rejected)))
    }

    /// The session broke: what must be sent again waits before all else, in its old order. Returns what nobody will report.
    pub(crate) fn broke(&mut self, keep: Keep) -> Vec<Event> {
        let mut unconfirmed: Vec<_> = self.uncommitted.drain().collect();
        let mut again = Vec::new();
        self.unanswered_bytes = 0;
        for (id, Unanswered { timed, number, is_accepted }) in self.unanswered.drain() {
            if is_accepted && keep == Keep::UntilAccepted {
                unconfirmed.push(id);
            } else {
                again.push((number, timed));
            }
        }
        again.extend(self.waiting.drain(..));
        again.sort_by_key(|(number, _)| *number);
        self.waiting = again.into();
        unconfirmed.sort_unstable();
        unconfirmed.into_iter().map(|scan_id| Event::Unconfirmed { scan_id }).collect()
    }

    /// Nobody waits for the store any more.
    pub(crate) fn give_up_commits(&mut self) -> Vec<Event> {
        self.uncommitted.drain().map(|scan_id| Event::Unconfirmed { scan_id }).collect()
    }

    pub(crate) fn into_waiting(self) -> Vec<Scan> {
        self.waiting.into_iter().map(|(_, timed)| Arc::unwrap_or_clone(timed.scan)).collect()
    }

    fn take(&mut self, id: &str) -> Option<Unanswered> {
        let unanswered = self.unanswered.remove(id)?;
        self.unanswered_bytes -= unanswered.timed.bytes();
        Some(unanswered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_commits_are_waited_for_than_there_is_room_to_remember() {
        let mut flight = Flight::default();
        let credit = Credit { messages: 1, bytes: 0, max_volume_bytes: 0 };
        for n in 0..=UNCOMMITTED {
            let scan_id = format!("{n}");
            flight.push(Scan { scan_id: scan_id.clone(), ..Scan::default() }, Instant::now());
            assert!(matches!(flight.next(credit), Next::Send(_)));
            flight.sent();
            let [verdict, unconfirmed] = flight.verdict(Verdict { scan_id, ..Verdict::default() });
            assert!(matches!(verdict, Some(Event::Verdict(_))));
            assert_eq!(unconfirmed.is_some(), n == UNCOMMITTED, "{n}");
        }
        assert_eq!(flight.broke(Keep::UntilVerdict).len(), UNCOMMITTED);
    }
}
