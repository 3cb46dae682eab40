//! Inference: a stage that judges prepared volumes with the model.
//!
//! `ovomesh_model` is the model behind a queue and a few threads; [`service`] is the gRPC surface.

mod allocator;
mod args;
mod config;
mod service;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ovomesh_api::pb::inference::v1::inference_service_server::InferenceServiceServer;
use ovomesh_bootstrap::{Server, trace};
use ovomesh_mesh::{Lifecycle, ServerConfig, StageServer};
use ovomesh_model::manifest::ModelId;
use ovomesh_model::{Engine, repository};
use tokio::net::TcpListener;

pub use args::{Args, ModelArgs};
pub use config::{Config, Pull};

use service::{Service, infer};

/// Name of the service.
pub const NAME: &str = "inference";

/// A prepared volume is at most 64 KiB, and its header is small.
const MAX_MESSAGE_BYTES: usize = 128 << 10;

/// Loads and warms the model, then serves on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let models = match (&config.models, &config.pull) {
        (Some(models), _) => models.clone(),
        (None, Some(_)) => "models".into(),
        (None, None) => repository::find(&config.model).context("starting the model")?,
    };
    if let Some(from) = &config.pull {
        pull(from, &config.model, &models).await?;
    }
    let engine = config.engine(models);
    let engine =
        tokio::task::spawn_blocking(move || Engine::start(engine)).await?.context("starting the model")?;
    let engine = Arc::new(engine);
    tracing::info!(provenance = ?engine.provenance(), threads = config.threads, "model is warm");
    let server = ServerConfig {
        messages: u32::try_from(config.credit())?,
        max_message_bytes: MAX_MESSAGE_BYTES as u64,
        drain_grace: config.port.drain,
        span: trace::child,
        ..ServerConfig::default()
    };
    let own = engine.clone();
    let stage = StageServer::new(server, move |work| infer(own.clone(), work), &lifecycle);
    let service = Service { stage, engine };
    let server = InferenceServiceServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Server::new(NAME, &config.port)
        .service(server)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}

#[cfg(feature = "pull")]
async fn pull(from: &Pull, model: &ModelId, models: &Path) -> anyhow::Result<()> {
    ovomesh_model_store::pull(&from.url, &from.sha256, &model.to_string(), models)
        .await
        .context("pulling the model")
}

#[cfg(not(feature = "pull"))]
#[allow(clippy::unused_async, reason = "the other one awaits")]
async fn pull(_: &Pull, _: &ModelId, _: &Path) -> anyhow::Result<()> {
    anyhow::bail!("--model-url: this program was built without it; build it with `--features pull`")
}
