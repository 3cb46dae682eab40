//! One scan from its checks to its verdict: prepare, infer, decide. It knows stages, but no streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::inference::v1::Inferred;
use ovomesh_api::pb::preprocess::v1::Prepared;
use ovomesh_api::pb::scan::v1::{self as pb, RejectCode};
use ovomesh_api::stages::{Infer, Prepare};
use ovomesh_api::{Call, Fault, Invalid, LineConfig, Reason, ScanId, Verdict, Volume, policy, texts};
use ovomesh_mesh::{CallError, Request};
use tokio::time::Instant;

use crate::describe::describe;
use crate::load::{Counted, LoadCounters};
use crate::overload::Overload;
use crate::throughput::Throughput;
use crate::turned_away::TurnedAway;
use crate::work_estimate::WorkEstimate;

/// The two stages, how long they usually need, how many scans get through them, and what was asked of them.
#[derive(Clone)]
pub struct Pipeline {
    prepare: Counted<Prepare>,
    infer: Counted<Infer>,
    estimate: Arc<WorkEstimate>,
    throughput: Arc<Throughput>,
    overload: Arc<Overload>,
    turned_away: Arc<TurnedAway>,
    load: Arc<LoadCounters>,
}

/// What became of a scan.
#[derive(Debug)]
pub enum Outcome {
    /// A verdict, and the picture if there is one.
    Verdict(Box<Verdict>, Option<pb::Preview>),
    /// It cannot be taken as it is.
    Rejected(Invalid),
}

/// One scan on its way: when it came, and until when it must be answered.
#[derive(Debug, Clone, Copy)]
pub struct TimeFrame {
    /// When its first byte was read.
    pub received: Instant,
    /// When the sorter needs the verdict.
    pub deadline: Instant,
}

impl Pipeline {
    /// Over these pools.
    pub fn new(prepare: Counted<Prepare>, infer: Counted<Infer>, load: Arc<LoadCounters>) -> Self {
        let (estimate, throughput, overload, turned_away) = Default::default();
        Self { prepare, infer, estimate, throughput, overload, turned_away, load }
    }

    /// Its stages, each in one line.
    pub fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::from([describe(&self.prepare.pool), describe(&self.infer.pool)])
    }

    /// Whether one more scan is to be begun; if not, why.
    pub fn has_room(&self) -> Result<(), String> {
        // Those in flight take their own work, too; the rest is waiting.
        let wait = self.throughput.ahead().saturating_sub(self.estimate.both());
        if !self.overload.turns_away(wait, Instant::now()) {
            return Ok(());
        }
        let ms = wait.as_millis();
        Err(format!("more scans come than get through, and those that were taken wait for {ms} ms already"))
    }

    /// A scan was turned away.
    pub fn turned_away(&self, scan_id: &str) {
        metrics::counter!("ovomesh_gateway_turned_away_total").increment(1);
        if self.turned_away.insert(scan_id) {
            self.arrived();
        }
    }

    fn arrived(&self) {
        self.load.arrived();
        self.prepare.load.arrived();
        self.infer.load.arrived();
    }

    /// Decides one scan. Always answers, at the deadline at the latest.
    pub async fn decide(
        &self,
        scan_id: &ScanId,
        volume: Volume,
        line: &LineConfig,
        time: TimeFrame,
        trace: &str,
    ) -> Outcome {
        let mut verdict = Drafted::new(scan_id, line, time);
        if line.quarantined {
            let detail = "the line is quarantined: its scans are stored and not judged";
            return verdict.finish(undecided(Reason::Quarantined, detail));
        }
        if !self.turned_away.contains(scan_id.as_str()) {
            self.arrived();
        }
        if !self.estimate.allows(time.left(), self.throughput.ahead()) {
            return verdict.finish(expired("before any work, behind what had come before it", time));
        }
        let in_stages = self.throughput.enter();
        let dims = volume.dims();
        let request = time.request(volume.into_pb(), trace);
        let going = self.prepare.load.begin();
        let prepared = match self.prepare.pool.call(request).await {
            Ok(reply) => {
                going.done(reply.worked);
                self.estimate.prepared(reply.worked);
                verdict.timings.preprocess_queued_us = micros(reply.waited + reply.queued);
                verdict.timings.preprocess_us = micros(reply.worked);
                reply.body
            }
            Err(error) => return verdict.fail(error, "preprocess", dims),
        };
        verdict.preview = prepared.preview.clone();
        if let Some(call) = verdict.judge_image(&prepared, line) {
            return verdict.finish(call);
        }
        if !self.estimate.allows_inference(time.left()) {
            return verdict.finish(expired("before inference", time));
        }
        let Some(volume) = prepared.volume else {
            return verdict.finish(undecided(Reason::Failed, "preprocess answered without a volume"));
        };
        let grid = Grid { origin: volume.origin.unwrap_or_default(), step: volume.step.unwrap_or_default() };
        let request = time.request(volume, trace);
        let going = self.infer.load.begin();
        match self.infer.pool.call(request).await {
            Ok(reply) => {
                let batch = reply.body.provenance.as_ref().map_or(1, |by| by.batch.max(1));
                going.done(reply.worked / batch);
                self.estimate.inferred(reply.worked);
                in_stages.through(Instant::now());
                verdict.timings.inference_queued_us = micros(reply.waited + reply.queued);
                verdict.timings.inference_us = micros(reply.worked);
                let call = verdict.judge_scores(reply.body, &grid, line);
                verdict.finish(call)
            }
            Err(error) => verdict.fail(error, "inference", dims),
        }
    }
}

impl TimeFrame {
    fn request<T>(&self, body: T, trace: &str) -> Request<T> {
        Request { body, deadline: Some(self.deadline), traceparent: trace.to_owned() }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Where the prepared grid lies in the volume as it was sent.
struct Grid {
    origin: pb::Point,
    step: pb::Point,
}

impl Grid {
    /// From millimetres on the grid to millimetres along the axes as sent.
    fn as_sent(&self, at: pb::Point) -> pb::Point {
        pb::Point {
            x_mm: self.origin.x_mm + at.x_mm * self.step.x_mm.signum(),
            y_mm: self.origin.y_mm + at.y_mm * self.step.y_mm.signum(),
            z_mm: self.origin.z_mm + at.z_mm * self.step.z_mm.signum(),
        }
    }
}

/// A verdict that is being filled in.
struct Drafted<'a> {
    scan_id: &'a ScanId,
    /// Its call comes last.
    verdict: Verdict,
    timings: pb::Timings,
    preview: Option<pb::Preview>,
    time: TimeFrame,
}

impl<'a> Drafted<'a> {
    fn new(scan_id: &'a ScanId, line: &LineConfig, time: TimeFrame) -> Self {
        let provenance = pb::Provenance { policy: line.policy.label(), ..Default::default() };
        let open = Call::Undecided(Reason::Failed, String::new());
        let verdict = Verdict { provenance: Some(provenance), ..Verdict::new(open, pb::DecidedBy::Mesh) };
        Self { scan_id, verdict, timings: pb::Timings::default(), preview: None, time }
    }

    fn provenance(&mut self) -> &mut pb::Provenance {
        self.verdict.provenance.get_or_insert_default()
    }

    /// Notes the quality; some images need no model.
    fn judge_image(&mut self, prepared: &Prepared, line: &LineConfig) -> Option<Call> {
        self.provenance().preprocess.clone_from(&prepared.version);
        self.verdict.quality = prepared.quality;
        if !prepared.not_an_egg.is_empty() {
            return Some(undecided(Reason::NotAnEgg, &prepared.not_an_egg));
        }
        let Some(quality) = &prepared.quality else {
            return Some(undecided(Reason::Failed, "preprocess answered without a quality"));
        };
        line.policy.judge_quality(quality)
    }

    fn judge_scores(&mut self, inferred: Inferred, grid: &Grid, line: &LineConfig) -> Call {
        if let Some(by) = inferred.provenance {
            let own = self.provenance();
            *own = pb::Provenance { preprocess: own.preprocess.clone(), policy: own.policy.clone(), ..by };
        }
        let Some(mut scores) = inferred.scores else {
            return undecided(Reason::Failed, "inference answered without scores");
        };
        let quality = self.verdict.quality.unwrap_or_default();
        let call = line.policy.decide(&scores, &quality);
        self.mark(&scores);
        scores.gonads = scores.gonads.map(|gonads| grid.as_sent(gonads));
        self.verdict.p_female = policy::p_female(&scores);
        self.verdict.scores = Some(scores);
        call
    }

    /// Marks the located point on the picture, whose pixels are the prepared grid's millimetres.
    fn mark(&mut self, scores: &pb::Scores) {
        if let (Some(preview), Some(gonads)) = (&mut self.preview, &scores.gonads) {
            (preview.mark_x, preview.mark_y) = (Some(gonads.x_mm), Some(gonads.y_mm));
        }
    }

    fn fail(self, error: CallError, stage: &str, dims: [u32; 3]) -> Outcome {
        match error {
            CallError::Expired { .. } => {
                let time = self.time;
                self.finish(expired(&format!("in {stage}"), time))
            }
            CallError::Overloaded { .. } => Outcome::Rejected(Invalid::overloaded(
                "the room of the stages",
                format!("{stage} has none now"),
            )),
            CallError::Failed { code, message, .. } if Fault::of(code) == Fault::Invalid => {
                let value = format!("{}x{}x{}", dims[0], dims[1], dims[2]);
                let error = Invalid::field("volume.samples", value, "samples that can be unpacked and read");
                Outcome::Rejected(error.because(RejectCode::Encoding, message))
            }
            // Also a scan that was lost with two replicas: it is set aside by being answered and stored.
            other => {
                tracing::warn!(scan_id = %self.scan_id, stage, error = %other, "scan failed");
                self.finish(undecided(Reason::Failed, &other.to_string()))
            }
        }
    }

    fn finish(mut self, call: Call) -> Outcome {
        self.timings.total_us = micros(self.time.received.elapsed());
        let verdict = Verdict { call, timings: Some(self.timings), ..self.verdict };
        Outcome::Verdict(Box::new(verdict), self.preview)
    }
}

fn expired(at: &str, time: TimeFrame) -> Call {
    let budget = time.deadline.saturating_duration_since(time.received).as_millis();
    let detail = format!("the budget of {budget} ms ran out {at}");
    undecided(Reason::Expired, &detail)
}

fn undecided(reason: Reason, detail: &str) -> Call {
    Call::Undecided(reason, texts::detail(detail))
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
