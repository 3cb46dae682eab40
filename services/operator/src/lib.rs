//! The operator: it makes the Deployment of each InferencePool and alone says how many replicas it has.
//!
//! One of several operators leads ([`leader`]). Once a second it looks at each pool: what gateways report ([`gateways`]),
//! what the Deployment is ([`replicas`]), what the spec says ([`spec`]); `ovomesh_scaling::decide` decides; [`pool`] applies
//! it and tells about it ([`status`]). While something cannot be seen, nothing is taken away. [`lines`] tells of each
//! ScannerLine whether gateways can obey it.
//!
//! It keeps nothing: killed in the middle of anything, the next one finds what is there and goes on.

mod args;
mod config;
mod gateways;
mod leader;
mod lines;
mod pool;
mod replicas;
mod reports;
mod service;
mod spec;
mod status;
mod workload;

use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use ovomesh_bootstrap::Server;
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;

pub use crate::args::Args;
pub use crate::config::Config;

use crate::leader::Leader;
use crate::service::Service;

/// Name of the service, and of the field manager of all that it applies.
pub const NAME: &str = "operator";
/// Who owns the fields that the operator sets.
pub(crate) const MANAGER: &str = "ovomesh-operator";

/// Something is written to the apiserver: what it costs others that this operator runs.
pub(crate) fn count_write() {
    metrics::counter!("ovomesh_operator_writes_total").increment(1);
}

/// Serves on `listener` and looks after the pools while it leads, until the drain.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("finding Kubernetes")?;
    let namespace = config.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let leader = Arc::new(Leader::new(&client, &namespace, &config));
    let server = Server::new(NAME, &config.port)
        .descriptors(&[])
        .status(Service { leader: leader.clone(), namespace: namespace.clone() })
        .serve(listener, &lifecycle);
    let work = async {
        leader.elected().await;
        let pools = pool::Pools::new(&client, &namespace, &config, &lifecycle);
        let leading = async {
            tokio::join!(pools.look_after(config.tick, &leader), lines::tell(&client, &namespace, &leader));
        };
        tokio::select! {
            () = leading => Ok(()),
            // Whoever leads now must not be disturbed: this process ends, and begins again as one that follows.
            () = leader.lost() => anyhow::bail!("the lease {} was lost: another operator leads", config.lease),
            () = lifecycle.drain.cancelled() => Ok(()),
        }
    };
    let work = async {
        let result = tokio::select! {
            result = work => result,
            () = lifecycle.drain.cancelled() => Ok(()),
        };
        leader.step_down().await;
        lifecycle.drain.cancel();
        result
    };
    let (served, worked) = tokio::join!(server, work);
    worked.and(served)
}
