//! The account of every intended send: sent, answered, committed. Says what was lost and what was answered twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::{Rejected, Verdict};

use super::accuracy::Accuracy;
use super::content::ScanContent;
use super::latency::{Latency, Timeline};
use super::plan::Plan;
use crate::row;

/// A send that left later than this after its intended time was delayed by the server or by this machine.
const DELAYED: Duration = Duration::from_millis(10);
/// Causes that are kept as text; more are only counted.
const CAUSES: usize = 10;

/// How far a scan is. Each implies the ones before it, but for `Committed`, which may overtake the verdict on paper only.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    sent: bool,
    answered: bool,
    verdict: bool,
    committed: bool,
}

/// Counts of the measured scans, and of the errors of all scans.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) verdicts: u64,
    pub(crate) rejected: u64,
    pub(crate) committed: u64,
    pub(crate) undecided_by_reason: BTreeMap<&'static str, u64>,
    pub(crate) rejected_by_code: BTreeMap<&'static str, u64>,
    /// Sent later than [`DELAYED`] after the intended time.
    pub(crate) delayed: u64,
    /// Sent when nothing of the budget was left.
    pub(crate) sent_without_budget: u64,
    /// Second answers to one scan.
    pub(crate) duplicated: u64,
    /// Answers to scans that this run never sent.
    pub(crate) strays: u64,
    /// Verdicts of which it will never be known whether they are stored, because their stream broke.
    pub(crate) unconfirmed: u64,
    pub(crate) broken: u64,
    pub(crate) reconnected: u64,
    pub(crate) resent: u64,
    /// Why streams broke, and what rejections said: the first few different ones.
    pub(crate) causes: Vec<String>,
}

/// Latencies of the measured scans, from the intended send or as the gateway reports them.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) answer: Latency,
    pub(crate) committed: Latency,
    /// From the intended send until the transport took it.
    pub(crate) waiting_to_send: Latency,
    /// What neither the wait to send nor the gateway accounts for.
    pub(crate) transport: Latency,
    pub(crate) gateway: Latency,
    pub(crate) preprocess_queued: Latency,
    pub(crate) preprocess: Latency,
    pub(crate) inference_queued: Latency,
    pub(crate) inference: Latency,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    plan: Arc<Plan>,
    content: Arc<ScanContent>,
    states: Vec<State>,
    /// When each scan was handed over, in microseconds after its intended time.
    waited_us: Vec<u32>,
    /// Sends that are intended: all of the plan, unless it was cut short.
    intended: u64,
    all_sent: u64,
    unanswered: u64,
    uncommitted: u64,
    pub(crate) counts: Counts,
    pub(crate) stages: Stages,
    pub(crate) timeline: Timeline,
    pub(crate) accuracy: Accuracy,
}

impl Ledger {
    pub(crate) fn new(plan: Arc<Plan>, content: Arc<ScanContent>) -> Self {
        let count = plan.sends.len();
        let stages = Stages {
            answer: Latency::new(),
            committed: Latency::new(),
            waiting_to_send: Latency::new(),
            transport: Latency::new(),
            gateway: Latency::new(),
            preprocess_queued: Latency::new(),
            preprocess: Latency::new(),
            inference_queued: Latency::new(),
            inference: Latency::new(),
        };
        Self {
            plan,
            content,
            states: vec![State::default(); count],
            waited_us: vec![0; count],
            intended: count as u64,
            all_sent: 0,
            unanswered: 0,
            uncommitted: 0,
            counts: Counts::default(),
            stages,
            timeline: Timeline::new(),
            accuracy: Accuracy::default(),
        }
    }

    /// Scan `n` was handed to the transport, `at` after the start, with `left` of its budget. Again after a break.
    pub(crate) fn sent(&mut self, n: u32, at: Duration, left: Duration) {
        let i = n as usize;
        if self.states[i].sent {
            self.counts.resent += 1;
            return;
        }
        self.states[i].sent = true;
        self.unanswered += 1;
        self.all_sent += 1;
        let waited = at.saturating_sub(self.plan.sends[i].at);
        self.waited_us[i] = u32::try_from(waited.as_micros()).unwrap_or(u32::MAX);
        if self.is_measured(n) {
            self.counts.sent += 1;
            self.counts.delayed += u64::from(waited > DELAYED);
            self.counts.sent_without_budget += u64::from(left.is_zero());
            self.stages.waiting_to_send.record(waited);
            self.timeline.sent(self.measured_at(at));
        }
    }

    pub(crate) fn verdict(&mut self, verdict: &Verdict, at: Duration) {
        let Some(n) = self.answer(&verdict.scan_id) else { return };
        self.states[n as usize].verdict = true;
        if !self.states[n as usize].committed {
            self.uncommitted += 1;
        }
        if !self.is_measured(n) {
            return;
        }
        let took = at.saturating_sub(self.plan.sends[n as usize].at);
        self.counts.verdicts += 1;
        if row::call_index(verdict.call()) == 3 {
            let reason = verdict.reason().as_str_name().trim_start_matches("UNDECIDED_REASON_");
            *self.counts.undecided_by_reason.entry(reason).or_default() += 1;
        }
        let (egg, class) = self.content.egg_of(n);
        self.accuracy.called(n, egg, class, verdict.call());
        self.timeline.verdict(self.measured_at(at), took);
        self.stages.record(verdict, took, Duration::from_micros(self.waited_us[n as usize].into()));
    }

    pub(crate) fn rejected(&mut self, rejected: &Rejected) {
        let Some(n) = self.answer(&rejected.scan_id) else { return };
        if self.is_measured(n) {
            self.counts.rejected += 1;
            let code = rejected.code().as_str_name().trim_start_matches("REJECT_CODE_");
            *self.counts.rejected_by_code.entry(code).or_default() += 1;
        }
        // Without the scan's own name, so that equal errors are one.
        let said = rejected.message.replace(&rejected.scan_id, "...");
        self.cause(format!("rejected: {said}"));
    }

    /// An answer to a scan that has one, or that was never sent.
    pub(crate) fn unexpected(&mut self, scan_id: &str) {
        self.answer(scan_id);
    }

    /// The verdict of a scan is stored.
    pub(crate) fn committed(&mut self, scan_id: &str, at: Duration) {
        let Some(n) = self.known(scan_id) else { return };
        let state = &mut self.states[n as usize];
        if state.committed {
            return;
        }
        state.committed = true;
        if state.verdict {
            self.uncommitted -= 1;
        }
        if self.is_measured(n) {
            self.counts.committed += 1;
            self.stages.committed.record(at.saturating_sub(self.plan.sends[n as usize].at));
        }
    }

    /// The stream of scan `n` broke after its verdict: no Committed can arrive any more.
    pub(crate) fn unconfirmed(&mut self, n: u32) {
        let state = self.states[n as usize];
        if state.verdict && !state.committed {
            self.uncommitted -= 1;
            self.counts.unconfirmed += u64::from(self.is_measured(n));
        }
    }

    pub(crate) fn broken(&mut self, why: String) {
        self.counts.broken += 1;
        self.cause(why);
    }

    /// Remembers why something went wrong.
    pub(crate) fn cause(&mut self, why: String) {
        if self.counts.causes.len() < CAUSES && !self.counts.causes.contains(&why) {
            self.counts.causes.push(why);
        }
    }

    /// The first answer of a scan that was sent; everything else is an error and counted.
    fn answer(&mut self, scan_id: &str) -> Option<u32> {
        let n = self.known(scan_id)?;
        let state = &mut self.states[n as usize];
        if state.answered {
            self.counts.duplicated += 1;
            return None;
        }
        state.answered = true;
        self.unanswered -= 1;
        Some(n)
    }

    fn known(&mut self, scan_id: &str) -> Option<u32> {
        let n =
            self.content.number_of(scan_id).filter(|&n| self.states.get(n as usize).is_some_and(|s| s.sent));
        if n.is_none() {
            self.counts.strays += 1;
            self.cause(format!("an answer to {scan_id:?}, which was not sent"));
        }
        n
    }

    fn is_measured(&self, n: u32) -> bool {
        n as usize >= self.plan.measured
    }

    /// From the start of the measured time.
    pub(crate) fn measured_at(&self, at: Duration) -> Duration {
        at.saturating_sub(self.content.warmup)
    }

    /// Scans sent and not answered.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Verdicts whose Committed may still arrive.
    pub(crate) fn uncommitted(&self) -> u64 {
        self.uncommitted
    }

    /// Intended sends that did not happen, the warm-up included.
    pub(crate) fn unsent(&self) -> u64 {
        self.intended - self.all_sent
    }

    /// Only the first `sends` of the plan are intended any more.
    pub(crate) fn cut(&mut self, sends: u32) {
        self.intended = sends.into();
    }
}

impl Stages {
    fn record(&mut self, verdict: &Verdict, took: Duration, waited: Duration) {
        self.answer.record(took);
        let Some(t) = &verdict.timings else { return };
        let us = |us: u32| Duration::from_micros(us.into());
        self.gateway.record(us(t.total_us));
        self.transport.record(took.saturating_sub(waited).saturating_sub(us(t.total_us)));
        if verdict.scores.is_some() || t.inference_us > 0 {
            // A scan that expired or was no egg never reached these stages: its zeros are no measurement.
            self.inference_queued.record(us(t.inference_queued_us));
            self.inference.record(us(t.inference_us));
        }
        if verdict.quality.is_some() || t.preprocess_us > 0 {
            self.preprocess_queued.record(us(t.preprocess_queued_us));
            self.preprocess.record(us(t.preprocess_us));
        }
    }
}
