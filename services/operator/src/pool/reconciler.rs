//! One pool: what is kept of it, and how it is reconciled.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::events::EventType;
use ovomesh_resources::{InferencePool, LastDecision};
use ovomesh_scaling::{Checked, Decision, History, Moment, Observation, Replicas, decide};
use tokio::time::Instant;

use super::apply::Applier;
use crate::gateways::Gateways;
use crate::replicas::{self, Starts};
use crate::status::{self, Reconciled, WrittenStatus, number};

/// The default of a line, for *seconds to miss* alone.
const BUDGET: std::time::Duration = std::time::Duration::from_secs(2);

/// The gateways that a pool asks.
pub struct Followed {
    pub service: String,
    pub gateways: Gateways,
}

/// What is kept of a pool between two rounds. All of it may be lost: the next operator learns it anew, and takes nothing
/// away before it has.
pub struct PoolReconciler {
    followed: Followed,
    history: History,
    starts: Starts,
    begun: Instant,
    /// Generations of the pool and of its Deployment at the last apply.
    applied: Option<(Option<i64>, Option<i64>)>,
    /// Replicas set last, and the version of the Deployment that has them.
    set: Option<(u32, u64)>,
    last: Option<LastDecision>,
    written: WrittenStatus,
    refusal: Option<String>,
}

impl PoolReconciler {
    pub fn new(followed: Followed) -> Self {
        Self {
            followed,
            history: History::default(),
            starts: Starts::default(),
            begun: Instant::now(),
            applied: None,
            set: None,
            last: None,
            written: WrittenStatus::default(),
            refusal: None,
        }
    }

    /// The Service whose gateways it asks.
    pub fn service(&self) -> &str {
        &self.followed.service
    }

    /// Asks other gateways from now on.
    pub fn follow(&mut self, followed: Followed) {
        self.followed = followed;
    }

    /// Observes and decides; if this operator leads, it sets the replicas and writes the status.
    pub async fn reconcile(
        &mut self,
        pool: &InferencePool,
        deployment: Option<&Deployment>,
        applier: &Applier,
        leads: bool,
    ) -> anyhow::Result<()> {
        let spec = match crate::spec::check(&pool.spec) {
            Ok(spec) => spec,
            Err(invalid) => {
                return self.refuse(pool, applier, leads, "InvalidSpec", &invalid.to_string()).await;
            }
        };
        if deployment.is_some_and(|deployment| !belongs(deployment, pool)) {
            let why = format!("a Deployment {} is there that is not this pool's", pool.name_any());
            return self.refuse(pool, applier, leads, "DeploymentTaken", &why).await;
        }
        self.refusal = None;
        let fresh;
        let deployment = match deployment {
            Some(deployment) if !leads || !self.must_apply(pool, deployment) => deployment,
            None if !leads => return Ok(()),
            _ => {
                fresh = applier.deployment(pool).await?;
                self.applied = Some((pool.metadata.generation, fresh.metadata.generation));
                &fresh
            }
        };
        let (replicas, edited) = self.replicas(deployment);
        self.starts.see(replicas, Instant::now());
        let (decision, gateways) = self.decide(&spec, &pool.spec.pool, replicas);
        if !leads {
            return Ok(());
        }
        if let Some(edited) = edited {
            let note = format!(
                "the Deployment was set to {edited} replicas by hand, and is set back to {}; spec.fixedReplicas of the pool pins them",
                decision.replicas
            );
            applier.events.tell(pool, EventType::Warning, "EditedByHand", note).await;
        }
        if decision.replicas != replicas.wanted {
            self.scale(pool, &decision, replicas.wanted, applier).await?;
        }
        self.set.get_or_insert((replicas.wanted, 0));
        let obeyed = Replicas { wanted: decision.replicas, ..replicas };
        let reconciled =
            Reconciled { decision: &decision, replicas: obeyed, gateways, last: self.last.clone() };
        let status = status::of(pool, reconciled, jiff::Timestamp::now());
        self.write_status(pool, applier, status).await
    }

    /// The spec has changed, or somebody has changed the Deployment: a scale of ours changes it too, and then the apply
    /// changes nothing.
    fn must_apply(&self, pool: &InferencePool, deployment: &Deployment) -> bool {
        self.applied != Some((pool.metadata.generation, deployment.metadata.generation))
    }

    /// The replicas as they are, and what somebody else has set them to.
    fn replicas(&self, deployment: &Deployment) -> (Replicas, Option<u32>) {
        let mut replicas = replicas::of(deployment);
        let Some((set, version)) = self.set else { return (replicas, None) };
        if set == replicas.wanted {
            return (replicas, None);
        }
        if version_of(deployment.metadata.resource_version.as_deref()) < version {
            // What is seen is older than what was set: the watch is behind.
            replicas = Replicas { wanted: set, starting: set.saturating_sub(replicas.ready), ..replicas };
            return (replicas, None);
        }
        (replicas, Some(replicas.wanted))
    }

    fn decide(&mut self, spec: &Checked, pool: &str, replicas: Replicas) -> (Decision, (u32, u32)) {
        let (expected, gateways) = self.followed.gateways.reports.of_pool(pool);
        let seen = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        let observation = Observation {
            at: Moment { since_start: self.begun.elapsed(), civil: jiff::Timestamp::now() },
            gateways_expected: expected,
            gateways,
            replicas,
            start_takes: self.starts.take(),
            budget: BUDGET,
        };
        (decide(spec, &observation, &mut self.history), (seen, expected))
    }

    async fn scale(
        &mut self,
        pool: &InferencePool,
        decision: &Decision,
        from: u32,
        applier: &Applier,
    ) -> anyhow::Result<()> {
        let to = decision.replicas;
        let scaled = applier.scale(pool, to).await?;
        self.set = Some((to, version_of(scaled.version.as_deref())));
        if to > from {
            self.starts.ordered(to, Instant::now());
        }
        let (name, why) = (pool.name_any(), decision.reason.to_string());
        tracing::info!(pool = name, from, to, why, "scaled");
        metrics::counter!("ovomesh_operator_scaled_total", "pool" => name).increment(1);
        let reason = decision.reason.word();
        self.last = Some(LastDecision {
            at: Time(jiff::Timestamp::now()),
            from: number(from),
            to: number(to),
            reason: reason.to_owned(),
            message: why.clone(),
        });
        let note = format!("from {from} to {to} replicas: {why}");
        let what = if to > from { "ScaledUp" } else { "ScaledDown" };
        applier.events.tell(pool, EventType::Normal, what, format!("{reason}: {note}")).await;
        Ok(())
    }

    /// Nothing is done, and it is said why.
    async fn refuse(
        &mut self,
        pool: &InferencePool,
        applier: &Applier,
        leads: bool,
        reason: &str,
        why: &str,
    ) -> anyhow::Result<()> {
        if !leads {
            return Ok(());
        }
        if self.refusal.as_deref() != Some(why) {
            self.refusal = Some(why.to_owned());
            applier.events.tell(pool, EventType::Warning, reason, why.to_owned()).await;
        }
        let status = status::refused(pool, reason, why, jiff::Timestamp::now());
        self.write_status(pool, applier, status).await
    }

    async fn write_status(
        &mut self,
        pool: &InferencePool,
        applier: &Applier,
        status: ovomesh_resources::InferencePoolStatus,
    ) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.written.is_old(&status, now) {
            applier.status(pool, &status).await?;
            self.written.wrote(status, now);
        }
        Ok(())
    }
}

fn belongs(deployment: &Deployment, pool: &InferencePool) -> bool {
    deployment.owner_references().iter().any(|owner| Some(&owner.uid) == pool.metadata.uid.as_ref())
}

/// Versions of resources are growing numbers.
fn version_of(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}
