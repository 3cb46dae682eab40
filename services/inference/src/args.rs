//! The flags of inference.

use std::path::PathBuf;
use std::time::Duration;

use ovomesh_bootstrap::{ServerArgs, TelemetryArgs};

use crate::batch::Policy;
use crate::device::DeviceChoice;
use crate::engine::EngineConfig;
use crate::manifest::ModelId;
use crate::model::Precision;

/// Judges prepared volumes: P(female), P(male), P(infertile), P(dead), and how strange the image is.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7720")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Folder of models, with NAME/VERSION/model.toml in it
    #[arg(long, env = "OVOMESH_MODELS", value_name = "DIR", default_value = "models")]
    pub models: PathBuf,
    /// Which model
    #[arg(long, env = "OVOMESH_MODEL", value_name = "NAME/VERSION", default_value = "egg-pose/0.3.1")]
    pub model: ModelId,
    /// Folder of models to pull the model from at the start: s3://BUCKET/PATH, https://HOST/PATH or file:///PATH. It is kept in
    /// --models. Without: it is there
    #[arg(long, env = "OVOMESH_MODEL_URL", value_name = "URL", requires = "model_sha256")]
    pub model_url: Option<String>,
    /// SHA-256 of the pulled model's model.toml, 64 hexadecimal digits
    #[arg(long, env = "OVOMESH_MODEL_SHA256", value_name = "HEX", requires = "model_url")]
    pub model_sha256: Option<String>,
    /// Where to compute: auto, cpu or cuda:N. auto takes a GPU if libtorch can use one
    #[arg(long, env = "OVOMESH_DEVICE", value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Which file of the model: auto, fp32 or bf16. auto takes bf16 where the CPU multiplies it natively
    #[arg(long, env = "OVOMESH_PRECISION", value_name = "PRECISION", default_value = "auto")]
    pub precision: Precision,
    /// Threads that compute, one batch each; 0 takes one for each core
    #[arg(long, env = "OVOMESH_THREADS", value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Batch sizes that are computed, ascending; each is warmed at the start
    #[arg(
        long,
        env = "OVOMESH_BATCHES",
        value_name = "SIZES",
        value_delimiter = ',',
        default_value = "1,2,3,4,6,8,12,16"
    )]
    pub batches: Vec<usize>,
    /// While one thread computes, how long a call may wait for it before another thread starts on a small batch, in
    /// microseconds. A batch takes up to 4 ms
    #[arg(long, env = "OVOMESH_PATIENCE_US", value_name = "US", default_value_t = 5_000)]
    pub patience_us: u64,
}

/// Batches per thread that a gateway may have here beside the one in work: more would wait where no other replica can
/// take them.
const AHEAD: usize = 2;
/// Gateways that may each have their credit waiting here.
const GATEWAYS: usize = 64;

impl Args {
    pub(crate) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.threads == 0 { cores() } else { self.threads }
    }

    /// Calls that one gateway may have here.
    pub(crate) fn credit(&self) -> usize {
        let largest = self.batches.iter().copied().max().unwrap_or(1);
        self.threads() + AHEAD * largest
    }

    pub(crate) fn engine(&self) -> EngineConfig {
        EngineConfig {
            repository: self.models.clone(),
            model: self.model.clone(),
            device: self.device,
            precision: self.precision,
            threads: self.threads(),
            policy: Policy {
                buckets: self.batches.clone(),
                limit: self.credit() * GATEWAYS,
                patience: Duration::from_micros(self.patience_us),
            },
        }
    }
}
