//! Inference: a stage that judges prepared volumes with the model.
//!
//! [`engine`] is the model behind a queue and a few threads, without gRPC; [`service`] is the gRPC surface.

mod allocator;
mod args;
pub mod batch;
pub mod device;
pub mod engine;
mod error;
mod ffi;
pub mod manifest;
pub mod model;
mod queue;
mod service;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ovomesh_api::pb::inference::v1::inference_service_server::InferenceServiceServer;
use ovomesh_bootstrap::{Server, trace};
use ovomesh_mesh::{Lifecycle, ServerConfig, StageServer};
use tokio::net::TcpListener;

pub use args::Args;
pub use engine::{Engine, EngineConfig, Inferred, Provenance, Work};
pub use error::EngineError;

use service::{Service, infer};

/// Name of the service.
pub const NAME: &str = "inference";

/// A prepared volume is at most 64 KiB, and its header is small.
const MAX_MESSAGE_BYTES: usize = 128 << 10;

/// Loads and warms the model, then serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    if let (Some(url), Some(sha256)) = (&args.model_url, &args.model_sha256) {
        pull(&args, url, sha256).await?;
    }
    let config = args.engine();
    let engine =
        tokio::task::spawn_blocking(move || Engine::start(config)).await?.context("starting the model")?;
    let engine = Arc::new(engine);
    tracing::info!(provenance = ?engine.provenance(), threads = args.threads(), "model is warm");
    let server = ServerConfig {
        messages: u32::try_from(args.credit())?,
        max_message_bytes: MAX_MESSAGE_BYTES as u64,
        drain_grace: Duration::from_secs(args.server.drain_seconds),
        span: trace::child,
        ..ServerConfig::default()
    };
    let own = engine.clone();
    let stage = StageServer::new(server, move |work| infer(own.clone(), work), &lifecycle);
    let service = Service { stage, engine };
    let routes = tonic::service::Routes::new(
        InferenceServiceServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES),
    );
    Server::new(NAME, &args.server)
        .routes(routes)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}

#[cfg(feature = "pull")]
async fn pull(args: &Args, url: &str, sha256: &str) -> anyhow::Result<()> {
    let model = args.model.to_string();
    ovomesh_model_store::pull(url, sha256, &model, &args.models).await.context("pulling the model")
}

#[cfg(not(feature = "pull"))]
#[allow(clippy::unused_async, reason = "the other one awaits")]
async fn pull(_: &Args, _: &str, _: &str) -> anyhow::Result<()> {
    anyhow::bail!("--model-url: this program was built without it; build it with `--features pull`")
}
