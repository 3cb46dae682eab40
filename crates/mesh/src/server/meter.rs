//! What a server tells about itself.

use metrics::{Counter, Gauge, counter, gauge};
use tonic::Code;

/// Handles made once, because looking a metric up costs more than to count.
pub(super) struct Meter {
    pub(super) streams: Gauge,
    working: Gauge,
    answered: Counter,
    expired: Counter,
    failed: Counter,
    pub(super) violations: Counter,
    pub(super) stalls: Counter,
}

impl Meter {
    pub(super) fn new(stage: &'static str) -> Self {
        metrics::describe_counter!("ovomesh_mesh_served_total", "Calls that a server ended, by outcome");
        metrics::describe_counter!(
            "ovomesh_mesh_violations_total",
            "Streams closed because their client broke a rule"
        );
        metrics::describe_counter!(
            "ovomesh_mesh_stalls_total",
            "Streams cut off because their client read nothing"
        );
        metrics::describe_gauge!("ovomesh_mesh_server_streams", "Open streams");
        metrics::describe_gauge!("ovomesh_mesh_server_working", "Calls that the handler has");
        let calls = |outcome: &'static str| counter!("ovomesh_mesh_served_total", "stage" => stage, "outcome" => outcome);
        Self {
            streams: gauge!("ovomesh_mesh_server_streams", "stage" => stage),
            working: gauge!("ovomesh_mesh_server_working", "stage" => stage),
            answered: calls("answered"),
            expired: calls("expired"),
            failed: calls("failed"),
            violations: counter!("ovomesh_mesh_violations_total", "stage" => stage),
            stalls: counter!("ovomesh_mesh_stalls_total", "stage" => stage),
        }
    }

    /// Counts one call as being worked on until the guard is dropped.
    pub(super) fn working(&self) -> Working<'_> {
        self.working.increment(1);
        Working(&self.working)
    }

    pub(super) fn served(&self, failure: Option<Code>) {
        match failure {
            None => self.answered.increment(1),
            Some(Code::DeadlineExceeded) => self.expired.increment(1),
            Some(_) => self.failed.increment(1),
        }
    }
}

pub(super) struct Working<'a>(&'a Gauge);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
