//! The flags of inference.

use std::path::PathBuf;
use std::time::Duration;

use ovomesh_bootstrap::{PortConfig, ServerArgs, TelemetryArgs};
use ovomesh_model::device::DeviceChoice;
use ovomesh_model::manifest::ModelId;
use ovomesh_model::model::Precision;

use crate::config::{Config, DEFAULT_MODEL, Pull};

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
    /// Which model, and where it is computed.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Folder of models to pull the model from at the start: s3://BUCKET/PATH, https://HOST/PATH or file:///PATH. It is kept in
    /// --models, or in the current folder's `models`. Without: it is there
    #[arg(long, env = "OVOMESH_MODEL_URL", value_name = "URL", requires = "model_sha256")]
    pub model_url: Option<String>,
    /// SHA-256 of the pulled model's model.toml, 64 hexadecimal digits
    #[arg(long, env = "OVOMESH_MODEL_SHA256", value_name = "HEX", requires = "model_url")]
    pub model_sha256: Option<String>,
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

/// Which model, and where it is computed: for every program that computes one.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Folder of models, with NAME/VERSION/model.toml in it. Without: `models` beside this program, in one of three
    /// folders above it or in the current folder, else /usr/share/ovomesh/models: the first that has the model
    #[arg(long, env = "OVOMESH_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// Which model
    #[arg(long, env = "OVOMESH_MODEL", value_name = "NAME/VERSION", default_value = DEFAULT_MODEL)]
    pub model: ModelId,
    /// Where to compute: auto, cpu or cuda:N. auto takes a GPU if libtorch can use one
    #[arg(long, env = "OVOMESH_DEVICE", value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Which file of the model: auto, fp32 or bf16. auto takes bf16 where the CPU multiplies it natively
    #[arg(long, env = "OVOMESH_PRECISION", value_name = "PRECISION", default_value = "auto")]
    pub precision: Precision,
}

impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let model = Self::from(args.model);
        Ok(Self {
            port: PortConfig::try_from(&args.server)?,
            pull: args.model_url.zip(args.model_sha256).map(|(url, sha256)| Pull { url, sha256 }),
            threads: if args.threads == 0 { model.threads } else { args.threads },
            batches: args.batches,
            patience: Duration::from_micros(args.patience_us),
            ..model
        })
    }
}

/// The model as said, and the defaults for all else.
impl From<ModelArgs> for Config {
    fn from(args: ModelArgs) -> Self {
        let ModelArgs { models, model, device, precision } = args;
        Self { models, model, device, precision, ..Self::default() }
    }
}
