//! What is written to the apiserver: by server-side apply, as one field manager, each call with a limit.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use ovomesh_resources::{InferencePool, InferencePoolStatus};
use serde_json::json;

use super::events::Events;
use crate::{MANAGER, workload};

/// The apiserver answers in milliseconds, or it is away: pools must not wait for each other for long.
const LIMIT: Duration = Duration::from_secs(3);

/// Writes.
pub struct Applier {
    deployments: Api<Deployment>,
    pools: Api<InferencePool>,
    /// Tells events.
    pub events: Events,
}

/// What the apiserver has made of a scale.
pub struct Scaled {
    /// Version of the Deployment that has it.
    pub version: Option<String>,
}

impl Applier {
    pub fn new(client: &Client, namespace: &str, instance: String) -> Self {
        Self {
            deployments: Api::namespaced(client.clone(), namespace),
            pools: Api::namespaced(client.clone(), namespace),
            events: Events::new(client, instance),
        }
    }

    /// The Deployment as the pool asks for, but for its replicas.
    pub async fn deployment(&self, pool: &InferencePool) -> anyhow::Result<Deployment> {
        let patch = Patch::Apply(workload::deployment(pool));
        let name = pool.name_any();
        within(self.deployments.patch(&name, &ours(), &patch)).await.context("applying the Deployment")
    }

    /// Its replicas, through the scale subresource.
    pub async fn scale(&self, pool: &InferencePool, replicas: u32) -> anyhow::Result<Scaled> {
        let name = pool.name_any();
        let patch = json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": name, "namespace": pool.namespace()},
            "spec": {"replicas": replicas},
        });
        let (ours, patch) = (ours(), Patch::Apply(&patch));
        let scaling = self.deployments.patch_scale(&name, &ours, &patch);
        let scale = within(scaling).await.with_context(|| format!("scaling to {replicas}"))?;
        Ok(Scaled { version: scale.metadata.resource_version })
    }

    /// The status of the pool.
    pub async fn status(&self, pool: &InferencePool, status: &InferencePoolStatus) -> anyhow::Result<()> {
        let name = pool.name_any();
        let patch = json!({
            "apiVersion": "ovomesh.dev/v1alpha1", "kind": "InferencePool",
            "metadata": {"name": name}, "status": status,
        });
        within(self.pools.patch_status(&name, &ours(), &Patch::Apply(&patch)))
            .await
            .context("telling the status")?;
        Ok(())
    }
}

fn ours() -> PatchParams {
    // Whatever somebody else has set in our fields is ours again.
    PatchParams::apply(MANAGER).force()
}

async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> anyhow::Result<T> {
    crate::count_write();
    let answer = tokio::time::timeout(LIMIT, call).await;
    Ok(answer.with_context(|| format!("no answer from the apiserver in {LIMIT:?}"))??)
}
