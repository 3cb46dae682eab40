//! What a pool tells about itself. Handles are made once, because looking a metric up costs more than to count.

use http::Uri;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::balance::{End, Snapshot};
use crate::{CallError, Phase};

/// Ends of calls that no single replica is the cause of.
pub(super) struct PoolMeter {
    queued: Gauge,
    queued_bytes: Gauge,
    waited: Histogram,
    expired: Counter,
    overloaded: Counter,
    failed: Counter,
    closed: Counter,
}

impl PoolMeter {
    pub(super) fn new(stage: &'static str) -> Self {
        describe();
        let name = "ovomesh_mesh_calls_total";
        let calls = |outcome| counter!(name, "stage" => stage, "endpoint" => "", "outcome" => outcome);
        Self {
            queued: gauge!("ovomesh_mesh_queued", "stage" => stage),
            queued_bytes: gauge!("ovomesh_mesh_queued_bytes", "stage" => stage),
            waited: histogram!("ovomesh_mesh_wait_seconds", "stage" => stage),
            expired: calls("expired"),
            overloaded: calls("overloaded"),
            failed: calls("failed"),
            closed: calls("closed"),
        }
    }

    pub(super) fn queue(&self, (messages, bytes): (usize, u64)) {
        self.queued.set(messages as f64);
        self.queued_bytes.set(bytes as f64);
    }

    pub(super) fn waited(&self, waited: std::time::Duration) {
        self.waited.record(waited);
    }

    /// A call that the pool itself ended.
    pub(super) fn refused(&self, error: &CallError) {
        match error {
            CallError::Expired { .. } => self.expired.increment(1),
            CallError::Overloaded { .. } => self.overloaded.increment(1),
            CallError::Closed { .. } => self.closed.increment(1),
            CallError::Failed { .. } | CallError::Lost { .. } => self.failed.increment(1),
        }
    }
}

/// Help texts of all of them.
fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "ovomesh_mesh_calls_total",
        "Calls that ended, by the replica that ended them and outcome"
    );
    describe_counter!("ovomesh_mesh_losses_total", "Streams that died");
    describe_counter!(
        "ovomesh_mesh_phase_changes_total",
        "Changes of what a replica is good for, by the new phase"
    );
    describe_gauge!("ovomesh_mesh_queued", "Calls that wait for a replica");
    describe_gauge!(
        "ovomesh_mesh_queued_bytes",
        Unit::Bytes,
        "Encoded bytes of calls that wait for a replica"
    );
    describe_gauge!("ovomesh_mesh_outstanding", "Calls sent to a replica and not answered");
    describe_gauge!(
        "ovomesh_mesh_outstanding_bytes",
        Unit::Bytes,
        "Encoded bytes of calls sent and not answered"
    );
    let wait = "Time from the submission of a call to the writing of the message that was answered";
    describe_histogram!("ovomesh_mesh_wait_seconds", Unit::Seconds, wait);
}

/// One replica.
pub(super) struct ReplicaMeter {
    stage: &'static str,
    endpoint: String,
    outstanding: Gauge,
    outstanding_bytes: Gauge,
    pub(super) answered: Counter,
    failed: Counter,
    lost: Counter,
    pub(super) losses: Counter,
}

impl ReplicaMeter {
    pub(super) fn new(stage: &'static str, endpoint: &Uri) -> Self {
        let endpoint = endpoint.to_string();
        let labels = [("stage", stage.to_owned()), ("endpoint", endpoint.clone())];
        let calls = |outcome| {
            let endpoint = endpoint.clone();
            counter!("ovomesh_mesh_calls_total", "stage" => stage, "endpoint" => endpoint, "outcome" => outcome)
        };
        Self {
            stage,
            outstanding: gauge!("ovomesh_mesh_outstanding", &labels),
            outstanding_bytes: gauge!("ovomesh_mesh_outstanding_bytes", &labels),
            answered: calls("answered"),
            failed: calls("failed"),
            lost: calls("lost"),
            losses: counter!("ovomesh_mesh_losses_total", &labels),
            endpoint,
        }
    }

    pub(super) fn load(&self, snapshot: &Snapshot) {
        self.outstanding.set(snapshot.messages as f64);
        self.outstanding_bytes.set(snapshot.bytes as f64);
    }

    /// A call that ended because of this replica.
    pub(super) fn ended(&self, end: &End) {
        match end {
            End::Lost { .. } => self.lost.increment(1),
            End::Failed { .. } | End::Expired | End::Closed => self.failed.increment(1),
        }
    }

    pub(super) fn phase(&self, from: Phase, to: Phase) {
        let (stage, endpoint) = (self.stage, &self.endpoint);
        // Under full load replicas turn slow and fast many times a second.
        if from == Phase::Slow || to == Phase::Slow {
            tracing::debug!(stage, endpoint, phase = to.name(), "replica");
        } else {
            tracing::info!(stage, endpoint, phase = to.name(), "replica");
        }
        let labels = [
            ("stage", self.stage.to_owned()),
            ("endpoint", self.endpoint.clone()),
            ("phase", to.name().to_owned()),
        ];
        counter!("ovomesh_mesh_phase_changes_total", &labels).increment(1);
    }
}
