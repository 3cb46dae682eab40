//! Preprocess: a stage that makes the model's small grid from a raw volume, and says how good the image is.
//!
//! [`service`] is the gRPC surface, [`workers`] are the threads, [`prepare`] is one volume.

mod args;
mod config;
mod prepare;
mod queue;
mod service;
mod workers;

use anyhow::Context as _;
use ovomesh_api::pb::preprocess::v1::preprocess_service_server::PreprocessServiceServer;
use ovomesh_bootstrap::{Server, trace};
use ovomesh_mesh::{Lifecycle, ServerConfig, StageServer};
use tokio::net::TcpListener;

pub use crate::args::Args;
pub use crate::config::Config;

use crate::service::Service;
use crate::workers::Workers;

/// Name of the service.
pub const NAME: &str = "preprocess";

/// What a message may have beside its volume.
const HEADER_BYTES: u64 = 64 << 10;
/// Volumes that a gateway may have here per thread: one in work, and enough that a thread never waits for the network.
const AHEAD: u32 = 16;

/// Serves on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let workers = Workers::start(config.threads).context("starting threads")?;
    let max_message_bytes = config.max_volume_bytes + HEADER_BYTES;
    let stage = ServerConfig {
        messages: u32::try_from(config.threads)?.saturating_mul(AHEAD),
        total_bytes: config.memory_bytes,
        max_message_bytes,
        drain_grace: config.port.drain,
        span: trace::child,
        ..ServerConfig::default()
    };
    let handler = move |work| {
        let workers = workers.clone();
        async move { workers.prepare(work).await }
    };
    let service = Service { stage: StageServer::new(stage, handler, &lifecycle) };
    let server = PreprocessServiceServer::new(service.clone())
        .max_decoding_message_size(usize::try_from(max_message_bytes)?);
    Server::new(NAME, &config.port)
        .service(server)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}
