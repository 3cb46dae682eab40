//! Preprocess: a stage that makes the model's small grid from a raw volume, and says how good the image is.
//!
//! [`service`] is the gRPC surface, [`workers`] are the threads, [`prepare`] is one volume.

mod prepare;
mod queue;
mod service;
mod workers;

use std::time::Duration;

use anyhow::Context as _;
use ovomesh_api::MAX_VOLUME_BYTES;
use ovomesh_api::pb::preprocess::v1::preprocess_service_server::PreprocessServiceServer;
use ovomesh_bootstrap::{Server, ServerArgs, TelemetryArgs, trace};
use ovomesh_mesh::{Lifecycle, ServerConfig, StageServer};
use tokio::net::TcpListener;

use crate::service::Service;
use crate::workers::Workers;

/// Name of the service.
pub const NAME: &str = "preprocess";

/// What a message may have beside its volume.
const HEADER_BYTES: u64 = 64 << 10;
/// Volumes that a gateway may have here per thread: one in work, and enough that a thread never waits for the network.
const AHEAD: u32 = 16;

/// Prepares raw volumes for the model: centres, standardises and crops them, and tells their quality.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7710")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Threads that prepare; 0 takes one for each core
    #[arg(long, env = "OVOMESH_THREADS", value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Largest volume taken, in bytes as sent
    #[arg(long, env = "OVOMESH_MAX_VOLUME_BYTES", value_name = "BYTES", default_value_t = MAX_VOLUME_BYTES)]
    pub max_volume_bytes: u64,
    /// Memory for volumes of all gateways together, in MiB
    #[arg(long, env = "OVOMESH_MEMORY_MIB", value_name = "MIB", default_value_t = 256)]
    pub memory_mib: u64,
}

/// Serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if args.threads == 0 { cores() } else { args.threads };
    let workers = Workers::start(threads).context("starting threads")?;
    let max_message_bytes = args.max_volume_bytes + HEADER_BYTES;
    let config = ServerConfig {
        messages: u32::try_from(threads)?.saturating_mul(AHEAD),
        total_bytes: args.memory_mib << 20,
        max_message_bytes,
        drain_grace: Duration::from_secs(args.server.drain_seconds),
        span: trace::child,
        ..ServerConfig::default()
    };
    let handler = move |work| {
        let workers = workers.clone();
        async move { workers.prepare(work).await }
    };
    let service = Service { stage: StageServer::new(config, handler, &lifecycle) };
    let server = PreprocessServiceServer::new(service.clone())
        .max_decoding_message_size(usize::try_from(max_message_bytes)?);
    Server::new(NAME, &args.server)
        .routes(tonic::service::Routes::new(server))
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}
