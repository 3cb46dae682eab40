//! The operator: it makes the Deployment of each InferencePool and alone says how many replicas it has.
//!
//! One of several operators leads ([`leader`]). Once a second it looks at each pool: what gateways report ([`gateways`]),
//! what the Deployment is ([`seen`]), what the spec says ([`spec`]); `ovomesh_scaling::decide` decides; [`pool`] applies
//! it and tells about it ([`status`]). While something cannot be seen, nothing is taken away. [`lines`] tells of each
//! ScannerLine whether gateways can obey it.
//!
//! It keeps nothing: killed in the middle of anything, the next one finds what is there and goes on.

mod gateways;
mod leader;
mod lines;
mod pool;
mod reports;
mod seen;
mod service;
mod spec;
mod status;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use ovomesh_bootstrap::{ClientTlsArgs, Server, ServerArgs, TelemetryArgs};
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;

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

/// Scales inference by demand and backlog: watches InferencePools, asks gateways, and sets replicas.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7730")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls gateways.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// Namespace whose pools and lines it looks after. Without: that of its account
    #[arg(long, env = "OVOMESH_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Name of the Lease by which operators agree on who leads
    #[arg(long, env = "OVOMESH_LEASE", value_name = "NAME", default_value = "ovomesh-operator")]
    pub lease: String,
    /// How long an operator that died still leads, in seconds
    #[arg(long, env = "OVOMESH_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(2..=300))]
    pub lease_seconds: u16,
    /// How often pools are looked at, in milliseconds
    #[arg(long, env = "OVOMESH_TICK_MS", value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=10_000))]
    pub tick_ms: u64,
}

/// Serves on `listener` and looks after the pools while it leads, until the drain.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("finding Kubernetes")?;
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let leader = Arc::new(Leader::new(&client, &namespace, &args));
    let server = Server::new(NAME, &args.server)
        .descriptors(&[])
        .status(Service { leader: leader.clone(), namespace: namespace.clone() })
        .serve(listener, &lifecycle);
    let work = async {
        leader.elected().await;
        let pools = pool::Pools::new(&client, &namespace, &args, &lifecycle)?;
        let leading = async {
            tokio::join!(
                pools.look_after(Duration::from_millis(args.tick_ms), &leader),
                lines::tell(&client, &namespace, &leader)
            );
        };
        tokio::select! {
            () = leading => Ok(()),
            // Whoever leads now must not be disturbed: this process ends, and begins again as one that follows.
            () = leader.lost() => anyhow::bail!("the lease {} was lost: another operator leads", args.lease),
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
