//! The scanner gateway owns each scan while it is in flight: it validates, has it prepared and judged, decides, sends
//! the verdict at once, and hands the row to the store. It keeps nothing on disk and may be killed at any time.
//!
//! The way of a scan: [`session`] reads it, [`gateway`] checks it and knows repeats ([`recent`]), [`pipeline`] calls
//! the stages and decides, [`session`] answers, [`storing`] sees that the row becomes durable.

mod backlog;
mod describe;
mod dialect;
mod gateway;
mod lines;
mod load;
mod memory;
mod outage;
mod outbox;
mod pace;
mod pipeline;
mod recent;
mod service;
mod session;
mod storing;
mod usual;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ovomesh_api::pb::gateway::v1::gateway_service_server::GatewayServiceServer;
use ovomesh_api::pb::load::v1::load_service_server::LoadServiceServer;
use ovomesh_api::pb::scanner::v1::scanner_service_server::ScannerServiceServer;
use ovomesh_api::{LineBook, MAX_VOLUME_BYTES};
use ovomesh_bootstrap::{ClientTlsArgs, Server, ServerArgs, TelemetryArgs, configuration, discover};
use ovomesh_mesh::{Lifecycle, PoolConfig, Stage, StreamPool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::lines::Lines;
use crate::load::{Demand, LoadWatch};
use crate::memory::{Memory, WINDOW_BYTES};
use crate::pipeline::Pipeline;
use crate::recent::Recent;
use crate::service::Service;
use crate::storing::Storing;

/// Name of the service.
pub const NAME: &str = "scanner-gateway";

/// What a message may have beside its volume.
const HEADER_BYTES: u64 = 64 << 10;
/// Rows that may wait for the store over all sessions: two minutes of the fastest line, about 32 MiB.
const ROWS_WAITING: usize = 16_384;

/// Takes scans over streams, has them judged, answers, and has every verdict stored.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7700")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls the stages.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// Preprocess replicas: URLs separated by commas, dns:///NAME:PORT, or kubernetes:///SERVICE:PORT
    #[arg(long, env = "OVOMESH_PREPROCESS", value_name = "URLS", default_value = "http://127.0.0.1:7710")]
    pub preprocess: String,
    /// Inference replicas: URLs separated by commas, dns:///NAME:PORT, or kubernetes:///SERVICE:PORT
    #[arg(long, env = "OVOMESH_INFERENCE", value_name = "URLS", default_value = "http://127.0.0.1:7720")]
    pub inference: String,
    /// results-store replicas: URLs separated by commas, dns:///NAME:PORT, or kubernetes:///SERVICE:PORT
    #[arg(long, env = "OVOMESH_STORE", value_name = "URLS", default_value = "http://127.0.0.1:7702")]
    pub store: String,
    /// Configuration of the lines (YAML): owner, budget, quarantine, decision policy. Without: the defaults
    #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// Kubernetes namespace whose ScannerLines configure lines, before the file does
    #[arg(long, env = "OVOMESH_SCANNER_LINES", value_name = "NAMESPACE")]
    pub scanner_lines: Option<String>,
    /// Memory that sessions and their scans may take together, windows included, in MiB
    #[arg(long, env = "OVOMESH_MEMORY_MIB", value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(32..))]
    pub memory_mib: u64,
    /// Largest volume taken, in bytes as sent and as unpacked
    #[arg(long, env = "OVOMESH_MAX_VOLUME_BYTES", value_name = "BYTES", default_value_t = MAX_VOLUME_BYTES)]
    pub max_volume_bytes: u64,
}

/// Serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let file = configuration(args.lines.as_deref(), LineBook::from_yaml)?;
    let lines = match &args.scanner_lines {
        Some(namespace) => resources(file, namespace, &lifecycle).await?,
        None => Lines::fixed(file),
    };
    // The pools outlive the sessions: what is in flight at a drain still needs its stages.
    let stages = Lifecycle { tasks: lifecycle.tasks.clone(), drain: CancellationToken::new() };
    let demand = Arc::new(Demand::default());
    let gateway = Arc::new(Gateway {
        pipeline: Pipeline::new(
            pool(&args, &args.preprocess, &stages).await?,
            pool(&args, &args.inference, &stages).await?,
            demand.clone(),
        ),
        storing: Storing::new(
            pool(&args, &args.store, &stages).await?,
            ROWS_WAITING,
            lifecycle.drain.clone(),
            demand.clone(),
        ),
        recent: Recent::default(),
        lines,
        memory: Memory::new(args.memory_mib << 20),
        backlog: backlog::Backlog::default(),
        max_volume_bytes: args.max_volume_bytes,
    });
    let grace = Duration::from_secs(args.server.drain_seconds);
    // Sessions have a life of their own, so that the stages can be let go when the last one has ended.
    let sessions = Lifecycle { tasks: tokio_util::task::TaskTracker::new(), drain: lifecycle.drain.clone() };
    let service = Service { gateway, lifecycle: sessions.clone(), grace };
    let limit = usize::try_from(args.max_volume_bytes + HEADER_BYTES)?;
    let routes = tonic::service::Routes::new(
        ScannerServiceServer::new(service.clone()).max_decoding_message_size(limit),
    )
    .add_service(GatewayServiceServer::new(service.clone()).max_decoding_message_size(limit))
    .add_service(LoadServiceServer::new(LoadWatch::new(demand, args.server.instance(), &lifecycle)));
    let served = Server::new(NAME, &args.server)
        .routes(routes)
        .windows(WINDOW_BYTES, WINDOW_BYTES)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await;
    sessions.tasks.close();
    sessions.tasks.wait().await;
    stages.drain.cancel();
    served
}

#[cfg(feature = "kubernetes")]
async fn resources(file: LineBook, namespace: &str, lifecycle: &Lifecycle) -> anyhow::Result<Lines> {
    lines::watched(file, namespace, lifecycle).await
}

#[cfg(not(feature = "kubernetes"))]
#[allow(clippy::unused_async, reason = "the other one awaits")]
async fn resources(_: LineBook, _: &str, _: &Lifecycle) -> anyhow::Result<Lines> {
    anyhow::bail!(
        "--scanner-lines: this program was built without Kubernetes; build it with `--features kubernetes`"
    )
}

async fn pool<S: Stage>(args: &Args, urls: &str, lifecycle: &Lifecycle) -> anyhow::Result<StreamPool<S>> {
    let found = discover::replicas(urls).await.with_context(|| format!("replicas of {}", S::NAME))?;
    // What waits in a pool is held by sessions, which are bounded; the pool's own bound only guards against defects.
    let config = PoolConfig {
        max_message_bytes: usize::try_from(args.max_volume_bytes + HEADER_BYTES)?,
        max_queued_messages: 2 * ROWS_WAITING,
        max_queued_bytes: args.memory_mib << 20,
        ..PoolConfig::default()
    };
    Ok(StreamPool::start(config, args.client.connector()?, found, lifecycle))
}
