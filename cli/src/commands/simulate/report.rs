//! The result of a run: for programs as JSON, for people as text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::accuracy::Share;
use super::generate::Cost;
use super::latency::{Percentiles, Second};
use super::ledger::{Counts, Ledger};

/// The report. Counts are of the measured scans; `lost`, `duplicated`, `strays` and `unsent` are of all.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The name of the run: its scans are `sim-<run>-<n>`.
    pub(crate) run: String,
    pub(crate) scanners: u32,
    /// Scans per second, as requested.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) arrivals: String,
    pub(crate) size: String,
    pub(crate) snr: f64,
    pub(crate) profile: String,
    /// Whether it was ended early by Ctrl-C.
    pub(crate) interrupted: bool,

    /// sent = verdicts + rejected + those of `lost` that were measured.
    pub(crate) sent: u64,
    pub(crate) verdicts: u64,
    pub(crate) rejected: u64,
    pub(crate) committed: u64,
    /// Verdicts whose Committed was cut off by a break of their stream; they may be stored or not.
    pub(crate) unconfirmed: u64,
    pub(crate) undecided: u64,
    pub(crate) undecided_by_reason: BTreeMap<&'static str, u64>,
    pub(crate) rejected_by_code: BTreeMap<&'static str, u64>,
    /// Answered UNDECIDED because the budget ran out.
    pub(crate) expired: u64,
    /// Sent and never answered.
    pub(crate) lost: u64,
    /// Answers beyond the first.
    pub(crate) duplicated: u64,
    /// Answers to scans that were never sent.
    pub(crate) strays: u64,
    /// Intended and never sent, because the server took nothing more.
    pub(crate) unsent: u64,
    /// Sent more than 10 ms after the intended time.
    pub(crate) delayed: u64,
    /// Sent when the budget was gone already.
    pub(crate) sent_without_budget: u64,

    /// By the first call of each distinct egg; UNDECIDED is not right. With its Wilson 95 % interval.
    pub(crate) accuracy: f64,
    pub(crate) accuracy_low: f64,
    pub(crate) accuracy_high: f64,
    pub(crate) distinct_eggs: u64,
    /// The same among the eggs whose first call was a decision.
    pub(crate) accuracy_decided: Share,
    /// Over all scans, repeats of an egg included.
    pub(crate) accuracy_scans: f64,
    pub(crate) calls: Calls,
    /// Scans by truth and call.
    pub(crate) confusion: BTreeMap<&'static str, Calls>,

    /// From the intended send to the verdict.
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) stages: BTreeMap<&'static str, Percentiles>,
    pub(crate) timeline: Vec<Second>,

    pub(crate) streams_broken: u64,
    pub(crate) streams_reconnected: u64,
    pub(crate) resent: u64,
    pub(crate) causes: Vec<String>,
    /// CPU of making one scan (noise, checksum, packing). Absent where the kernel does not report it.
    pub(crate) generator_cpu_ms_per_scan: Option<f64>,
}

/// Counts by call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Calls {
    pub(crate) female: u64,
    pub(crate) male: u64,
    pub(crate) no_embryo: u64,
    pub(crate) undecided: u64,
}

impl From<[u64; 4]> for Calls {
    fn from([female, male, no_embryo, undecided]: [u64; 4]) -> Self {
        Self { female, male, no_embryo, undecided }
    }
}

/// The settings of a run, as the report repeats them.
#[derive(Clone, Debug)]
pub(crate) struct RunSettings {
    pub(crate) run: String,
    pub(crate) scanners: u32,
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) arrivals: String,
    pub(crate) size: String,
    pub(crate) snr: f64,
    pub(crate) profile: String,
}

impl Report {
    pub(crate) fn new(settings: RunSettings, interrupted: bool, ledger: &Ledger, cost: Cost) -> Self {
        let counts: Counts = ledger.counts.clone();
        let (eggs, calls) = (ledger.accuracy.eggs(), ledger.accuracy.calls());
        let stages = &ledger.stages;
        let answer = stages.answer.percentiles();
        let classes = ["female", "male", "infertile", "dead"];
        let per_scan = |cpu: std::time::Duration| cpu.as_secs_f64() * 1000.0 / cost.scans.max(1) as f64;
        let RunSettings { run, scanners, rate, seconds, arrivals, size, snr, profile } = settings;
        Self {
            run,
            scanners,
            rate,
            seconds,
            arrivals,
            size,
            snr,
            profile,
            interrupted,
            sent: counts.sent,
            verdicts: counts.verdicts,
            rejected: counts.rejected,
            committed: counts.committed,
            unconfirmed: counts.unconfirmed,
            undecided: calls[3],
            expired: counts.undecided_by_reason.get("EXPIRED").copied().unwrap_or(0),
            undecided_by_reason: counts.undecided_by_reason,
            rejected_by_code: counts.rejected_by_code,
            lost: ledger.unanswered(),
            duplicated: counts.duplicated,
            strays: counts.strays,
            unsent: ledger.unsent(),
            delayed: counts.delayed,
            sent_without_budget: counts.sent_without_budget,
            accuracy: eggs.share,
            accuracy_low: eggs.low,
            accuracy_high: eggs.high,
            distinct_eggs: eggs.of,
            accuracy_decided: ledger.accuracy.decided_eggs(),
            accuracy_scans: ledger.accuracy.scans(),
            calls: calls.into(),
            confusion: classes.into_iter().zip(ledger.accuracy.confusion.map(Calls::from)).collect(),
            p50_ms: answer.p50_ms,
            p90_ms: answer.p90_ms,
            p99_ms: answer.p99_ms,
            p999_ms: answer.p999_ms,
            max_ms: answer.max_ms,
            stages: BTreeMap::from([
                ("waiting_to_send", stages.waiting_to_send.percentiles()),
                ("transport", stages.transport.percentiles()),
                ("gateway", stages.gateway.percentiles()),
                ("preprocess_queued", stages.preprocess_queued.percentiles()),
                ("preprocess", stages.preprocess.percentiles()),
                ("inference_queued", stages.inference_queued.percentiles()),
                ("inference", stages.inference.percentiles()),
                ("committed", stages.committed.percentiles()),
            ]),
            timeline: ledger.timeline.all(),
            streams_broken: counts.broken,
            streams_reconnected: counts.reconnected,
            resent: counts.resent,
            causes: counts.causes,
            generator_cpu_ms_per_scan: cost.cpu.map(per_scan),
        }
    }

    /// Whether every intended send has exactly one answer.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost + self.duplicated + self.strays + self.unsent == 0
    }
}
