//! What all sessions of a gateway share, and the way of one scan through it.

use std::sync::Arc;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{self as pb, Rejected};
use ovomesh_api::{Call, Invalid, LineId, Reason, Row, Scan};
use ovomesh_bootstrap::{Hold, trace};
use ovomesh_mesh::Peer;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::backlog::Backlog;
use crate::lines::Lines;
use crate::memory::Memory;
use crate::pipeline::{Outcome, Pipeline, TimeFrame};
use crate::recent::{Lookup, Recent, Ticket};
use crate::storing::Storing;

/// Shared by all sessions; cheap to clone inside an `Arc`.
pub struct Gateway {
    /// Decides.
    pub pipeline: Pipeline,
    /// Stores.
    pub storing: Storing,
    /// Knows repeats.
    pub recent: Recent,
    /// Configures.
    pub lines: Lines,
    /// Room for sessions.
    pub memory: Memory,
    /// Scans in flight.
    pub backlog: Backlog,
    /// The largest volume taken, in bytes as sent.
    pub max_volume_bytes: u64,
}

/// The answer to one scan.
#[derive(Debug)]
pub enum Answer {
    /// What was decided, as it is stored.
    Decided(Box<Row>),
    /// It cannot be taken.
    Rejected(Rejected),
}

impl Gateway {
    /// Room for a scan of this size, before it is read; or why it is turned away.
    pub fn room(&self, peer: Peer, bytes: u64) -> Result<Hold, String> {
        self.pipeline.has_room()?;
        let share = self.memory.bytes().take(peer, bytes).map_err(|full| full.to_string())?;
        Ok(Box::new(share))
    }

    /// Answers one scan, which was read at `received`. `allowed` are the lines of its session.
    pub async fn answer(
        self: Arc<Self>,
        scan: pb::Scan,
        max_volume: u64,
        allowed: Arc<[LineId]>,
        received: Instant,
    ) -> Answer {
        let in_flight = self.backlog.enter(received);
        let scan_id = scan.scan_id.clone();
        let answer = match self.check(scan, max_volume, &allowed) {
            Ok(scan) => self.decide_once(scan, received).await,
            Err(invalid) => Answer::Rejected(invalid.rejected(&scan_id)),
        };
        drop(in_flight);
        answer.count();
        answer
    }

    fn check(&self, scan: pb::Scan, max_volume: u64, allowed: &[LineId]) -> Result<Scan, Invalid> {
        let scan = Scan::parse(scan, max_volume, Timestamp::now())?;
        scan.meta.place.must_be_one_of(allowed)?;
        Ok(scan)
    }

    /// The same scan again gets the same answer; the same id with other bytes gets none.
    async fn decide_once(&self, scan: Scan, received: Instant) -> Answer {
        loop {
            match self.recent.look_up(&scan.meta) {
                Lookup::Answered(row) => return Answer::Decided(row),
                Lookup::Reused => {
                    return Answer::Rejected(scan.meta.reused().rejected(scan.meta.scan_id.as_str()));
                }
                Lookup::InFlight(mut answer) => {
                    // An error means that the other session broke: the scan is new again.
                    let answer = answer.wait_for(Option::is_some).await.map(|row| row.clone());
                    if let Ok(Some(row)) = answer {
                        return Answer::Decided(Box::new(row));
                    }
                }
                Lookup::New(ticket) => return self.decide(scan, received, ticket).await,
            }
        }
    }

    async fn decide(&self, scan: Scan, received: Instant, ticket: Ticket<'_>) -> Answer {
        let Scan { meta, budget, traceparent, volume } = scan;
        let line = self.lines.get(&meta.place.line_id);
        let time = TimeFrame { received, deadline: received + line.budget(budget) };
        let span = trace::enter(&traceparent, rand::random());
        let traceparent = trace::traceparent(&span);
        let deciding = self.pipeline.decide(&meta.scan_id, volume, &line, time, &traceparent);
        match deciding.instrument(span).await {
            Outcome::Verdict(verdict, preview) => {
                // A repeat with time left may do better than these.
                let keep = !matches!(verdict.call, Call::Undecided(Reason::Expired | Reason::Failed, _));
                let row = meta.row(&line, *verdict, preview);
                ticket.answered(row.clone(), keep);
                Answer::Decided(Box::new(row))
            }
            Outcome::Rejected(invalid) => Answer::Rejected(invalid.rejected(meta.scan_id.as_str())),
        }
    }

    /// The row of an agent, held to the lines of its session and to the limits of texts as scans are, with what only the
    /// gateway may say.
    pub fn stamp_owner(&self, row: pb::Row, allowed: &[LineId]) -> Result<Row, Invalid> {
        let row = Row::parse(row)?;
        let place = &row.meta.place;
        place.must_be_one_of(allowed)?;
        row.check()?;
        let owner = self.lines.get(&place.line_id).owner.clone();
        Ok(Row { owner, stored_at: None, settled: true, ..row })
    }
}

impl Answer {
    /// Counts it in the metrics.
    pub fn count(&self) {
        let (call, reason) = match self {
            Self::Decided(row) => {
                let verdict = &row.verdict;
                if let Some(timings) = &verdict.timings {
                    metrics::histogram!("ovomesh_gateway_verdict_seconds")
                        .record(f64::from(timings.total_us) / 1e6);
                }
                (verdict.call.to_pb().as_str_name(), verdict.call.reason_to_pb().as_str_name())
            }
            Self::Rejected(rejected) => ("REJECTED", rejected.code().as_str_name()),
        };
        metrics::counter!("ovomesh_gateway_scans_total", "call" => call, "reason" => reason).increment(1);
    }
}
