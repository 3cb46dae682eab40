//! The status of a pool, and when it is written.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use ovomesh_resources::{InferencePool, InferencePoolStatus, LastDecision, set_condition};
use ovomesh_scaling::{Decision, Reason, Replicas};
use tokio::time::Instant;

use crate::workload;

/// Figures change all the time: they are written at this interval.
const FIGURES_EVERY: Duration = Duration::from_secs(30);

/// The status that was written last, and when.
#[derive(Debug, Default)]
pub struct WrittenStatus(Option<(InferencePoolStatus, Instant)>);

impl WrittenStatus {
    /// Whether `status` is to be written now: its meaning is another, or its figures are old.
    pub fn is_old(&self, status: &InferencePoolStatus, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|(written, at)| {
            let stale = now.saturating_duration_since(*at) >= FIGURES_EVERY;
            meaning(written) != meaning(status) || (stale && written != status)
        })
    }

    /// It was written.
    pub fn wrote(&mut self, status: InferencePoolStatus, now: Instant) {
        self.0 = Some((status, now));
    }
}

/// The status without its figures.
fn meaning(status: &InferencePoolStatus) -> InferencePoolStatus {
    let mut conditions = status.conditions.clone();
    for condition in &mut conditions {
        // Messages have figures in them.
        condition.message.clear();
    }
    InferencePoolStatus {
        demand: None,
        capacity: None,
        backlog: 0,
        // What it will miss is a figure; that it will is not.
        seconds_to_miss: status.seconds_to_miss.as_ref().map(|_| String::new()),
        reason: None,
        message: None,
        conditions,
        ..status.clone()
    }
}

/// What one round of a pool has decided.
pub struct Reconciled<'a> {
    /// What is decided.
    pub decision: &'a Decision,
    /// The replicas of the Deployment, the decision obeyed.
    pub replicas: Replicas,
    /// Gateways that are seen, of those that there are.
    pub gateways: (u32, u32),
    /// The last change.
    pub last: Option<LastDecision>,
}

/// The status after a round.
pub fn of(pool: &InferencePool, reconciled: Reconciled<'_>, now: jiff::Timestamp) -> InferencePoolStatus {
    let Reconciled { decision, replicas, gateways: (seen, expected), last } = reconciled;
    let mut status = begun(pool);
    status.replicas = number(replicas.wanted);
    status.ready = number(replicas.ready);
    status.demand = Some(format!("{:.1}/s", decision.demand));
    status.capacity = Some(format!("{:.1}/s", decision.capacity));
    status.backlog = i64::try_from(decision.backlog).unwrap_or(i64::MAX);
    status.seconds_to_miss = decision.seconds_to_miss.map(|seconds| format!("{seconds:.1}s"));
    status.bottleneck = decision.bottleneck.map(|stage| stage.to_string());
    (status.gateways_seen, status.gateways) = (number(seen), number(expected));
    status.reason = Some(decision.reason.word().to_owned());
    status.message = Some(decision.reason.to_string());
    status.last_decision = last.or(status.last_decision);
    let mut set = Setter { pool, status: &mut status.conditions, now: Time(now) };
    set.condition("Valid", true, "Accepted", "the spec is obeyed");
    let of = format!("pool {}", pool.spec.pool);
    let all_seen = expected > 0 && seen >= expected;
    let gateways = match (all_seen, expected) {
        (true, _) => ("AllSeen", format!("{seen} of {expected} gateways report {of}")),
        (false, 0) => ("NoGateways", format!("Service {} has no gateway", pool.spec.gateway_service)),
        (false, _) => {
            ("SomeUnseen", format!("{seen} of {expected} gateways report {of}; nothing is taken away"))
        }
    };
    set.condition("GatewaysSeen", all_seen, gateways.0, &gateways.1);
    let ready = replicas.ready >= replicas.wanted;
    let (reason, message) = (
        if ready { "AllReady" } else { "Starting" },
        format!("{} replicas are ready, {} are asked for", replicas.ready, replicas.wanted),
    );
    set.condition("Ready", ready, reason, &message);
    let at_maximum = matches!(decision.reason, Reason::Maximum { .. });
    let message = if at_maximum { decision.reason.to_string() } else { "maxReplicas is enough".to_owned() };
    set.condition("AtMaximum", at_maximum, if at_maximum { "MoreNeeded" } else { "Enough" }, &message);
    status
}

/// The status of a pool that cannot be obeyed: everything stays as it is, and says why.
pub fn refused(pool: &InferencePool, reason: &str, why: &str, now: jiff::Timestamp) -> InferencePoolStatus {
    let mut status = begun(pool);
    let message = format!("{why}; everything stays as it is");
    status.reason = Some(reason.to_owned());
    status.message = Some(message.clone());
    Setter { pool, status: &mut status.conditions, now: Time(now) }
        .condition("Valid", false, reason, &message);
    status
}

/// What is there already: conditions keep their times, and a new operator forgets nothing that was written.
fn begun(pool: &InferencePool) -> InferencePoolStatus {
    let mut status = pool.status.clone().unwrap_or_default();
    status.observed_generation = pool.metadata.generation.unwrap_or_default();
    status.selector = workload::selector(pool);
    status
}

struct Setter<'a> {
    pool: &'a InferencePool,
    status: &'a mut Vec<Condition>,
    now: Time,
}

impl Setter<'_> {
    fn condition(&mut self, name: &str, is: bool, reason: &str, message: &str) {
        let generation = self.pool.metadata.generation.unwrap_or_default();
        set_condition(self.status, (name, is), (reason, message), generation, &self.now);
    }
}

/// A count as Kubernetes has it.
pub fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use ovomesh_scaling::Driver;

    use super::*;

    fn decision(reason: Reason, demand: f64) -> Decision {
        let (replicas, capacity) = (2, 50.0);
        Decision { replicas, reason, demand, capacity, backlog: 0, seconds_to_miss: None, bottleneck: None }
    }

    fn pool() -> InferencePool {
        InferencePool::new("p", serde_json::from_value(serde_json::json!({"image": "i"})).unwrap())
    }

    fn status(decision: &Decision, ready: u32, gateways: (u32, u32)) -> InferencePoolStatus {
        let replicas = Replicas { wanted: 2, ready, starting: 2 - ready };
        of(&pool(), Reconciled { decision, replicas, gateways, last: None }, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn figures_are_written_every_half_minute_and_meaning_at_once() {
        let (mut written, now) = (WrittenStatus::default(), Instant::now());
        let rate = |rate| decision(Reason::Demand(Driver::Rate { rate }), rate);
        let first = status(&rate(10.0), 2, (1, 1));
        assert!(written.is_old(&first, now));
        written.wrote(first.clone(), now);
        let figures = status(&rate(11.0), 2, (1, 1));
        assert!(!written.is_old(&figures, now + Duration::from_secs(29)));
        assert!(written.is_old(&figures, now + Duration::from_secs(30)));
        assert!(!written.is_old(&first, now + Duration::from_secs(30)), "nothing new is not written");
        assert!(written.is_old(&status(&rate(10.0), 1, (1, 1)), now));
        assert!(written.is_old(&status(&rate(10.0), 2, (0, 1)), now));
    }

    #[test]
    fn conditions_say_what_is_the_matter() {
        let full = status(&decision(Reason::Maximum { needed: 9 }, 400.0), 1, (1, 2));
        let of = |name: &str| {
            let found = full.conditions.iter().find(|condition| condition.type_ == name).unwrap();
            (found.status.as_str(), found.reason.as_str())
        };
        assert_eq!(of("Valid"), ("True", "Accepted"));
        assert_eq!(of("GatewaysSeen"), ("False", "SomeUnseen"));
        assert_eq!(of("Ready"), ("False", "Starting"));
        assert_eq!(of("AtMaximum"), ("True", "MoreNeeded"));
        assert_eq!(full.demand.as_deref(), Some("400.0/s"));
        let refused = refused(&pool(), "InvalidSpec", "spec.x is 1", jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(refused.message.as_deref(), Some("spec.x is 1; everything stays as it is"));
    }
}
