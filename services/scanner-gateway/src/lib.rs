//! The scanner gateway owns each scan while it is in flight: it validates, has it prepared and judged, decides, sends
//! the verdict at once, and hands the row to the store. It keeps nothing on disk and may be killed at any time.
//!
//! The way of a scan: [`session`] reads it, [`gateway`] checks it and knows repeats ([`recent`]), [`pipeline`] calls
//! the stages and decides, [`session`] answers, [`storing`] sees that the row becomes durable.

mod args;
mod backlog;
mod config;
mod describe;
mod dialect;
mod gateway;
mod lines;
mod load;
mod memory;
mod outage;
mod outbox;
mod overload;
mod pipeline;
mod recent;
mod service;
mod session;
mod storing;
mod throughput;
mod turned_away;
mod work_estimate;

use std::sync::Arc;

use anyhow::Context as _;
use ovomesh_api::LineBook;
use ovomesh_api::pb::gateway::v1::gateway_service_server::GatewayServiceServer;
use ovomesh_api::pb::load::v1::load_service_server::LoadServiceServer;
use ovomesh_api::pb::scanner::v1::scanner_service_server::ScannerServiceServer;
use ovomesh_api::stages::MAIN_POOL;
use ovomesh_bootstrap::{Server, discover};
use ovomesh_mesh::{Lifecycle, PoolConfig, Stage, StreamPool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::args::Args;
pub use crate::config::Config;

use crate::gateway::Gateway;
use crate::lines::Lines;
use crate::load::{Counted, LoadCounters, LoadWatch};
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

/// Serves on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let lines = match &config.scanner_lines {
        Some(namespace) => resources(config.lines.clone(), namespace, &lifecycle).await?,
        None => Lines::fixed(config.lines.clone()),
    };
    // The pools outlive the sessions: what is in flight at a drain still needs its stages.
    let stages = Lifecycle { tasks: lifecycle.tasks.clone(), drain: CancellationToken::new() };
    // They end with this function, also when it fails.
    let _stages_end = stages.drain.clone().drop_guard();
    let mut load = LoadCounters::default();
    let prepare = pool(&config, &config.preprocess, &stages, &mut load).await?;
    let infer = pool(&config, &config.inference, &stages, &mut load).await?;
    let store = pool(&config, &config.store, &stages, &mut load).await?;
    let load = Arc::new(load);
    let gateway = Arc::new(Gateway {
        pipeline: Pipeline::new(prepare, infer, load.clone()),
        storing: Storing::new(store, ROWS_WAITING, lifecycle.drain.clone()),
        recent: Recent::default(),
        lines,
        memory: Memory::new(config.memory_bytes),
        backlog: backlog::Backlog::default(),
        max_volume_bytes: config.max_volume_bytes,
    });
    // Sessions have a life of their own, so that the stages can be let go when the last one has ended.
    let sessions = Lifecycle { tasks: tokio_util::task::TaskTracker::new(), drain: lifecycle.drain.clone() };
    let service = Service { gateway, lifecycle: sessions.clone(), grace: config.port.drain };
    let limit = usize::try_from(config.max_volume_bytes + HEADER_BYTES)?;
    let load = LoadWatch::new(load, config.port.instance.clone(), &lifecycle);
    let served = Server::new(NAME, &config.port)
        .service(ScannerServiceServer::new(service.clone()).max_decoding_message_size(limit))
        .service(GatewayServiceServer::new(service.clone()).max_decoding_message_size(limit))
        .service(LoadServiceServer::new(load))
        .windows(WINDOW_BYTES, WINDOW_BYTES)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await;
    sessions.tasks.close();
    sessions.tasks.wait().await;
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

/// The main pool of a stage, and its part in the load of this gateway.
async fn pool<S: Stage>(
    config: &Config,
    urls: &str,
    lifecycle: &Lifecycle,
    load: &mut LoadCounters,
) -> anyhow::Result<Counted<S>> {
    let found = discover::replicas(urls).await.with_context(|| format!("replicas of {}", S::NAME))?;
    // What waits in a pool is held by sessions, which are bounded; the pool's own bound only guards against defects.
    let limits = PoolConfig {
        max_message_bytes: usize::try_from(config.max_volume_bytes + HEADER_BYTES)?,
        max_queued_messages: 2 * ROWS_WAITING,
        max_queued_bytes: config.memory_bytes,
        ..PoolConfig::default()
    };
    let pool = StreamPool::start(limits, config.connector.clone(), found, lifecycle);
    Ok(Counted { pool, load: load.add::<S>(MAIN_POOL) })
}
