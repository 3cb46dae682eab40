//! What inference is started with.

use std::path::PathBuf;
use std::time::Duration;

use ovomesh_bootstrap::PortConfig;
use ovomesh_model::EngineConfig;
use ovomesh_model::batch::Policy;
use ovomesh_model::device::DeviceChoice;
use ovomesh_model::manifest::ModelId;
use ovomesh_model::model::Precision;

/// The model of this release.
pub const DEFAULT_MODEL: &str = "egg-pose/0.3.1";

/// Batches per thread that a gateway may have here beside the one in work: more would wait where no other replica can
/// take them.
const AHEAD: usize = 2;
/// Gateways that may each have their credit waiting here.
const GATEWAYS: usize = 64;

/// What inference is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it serves.
    pub port: PortConfig,
    /// Folder of models, with `NAME/VERSION/model.toml` in it. `None`: where [`ovomesh_model::repository::find`] finds the model; one that
    /// is pulled goes to `models`.
    pub models: Option<PathBuf>,
    /// Which model.
    pub model: ModelId,
    /// Where the model is pulled from at the start. `None`: it is there.
    pub pull: Option<Pull>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Which file of the model.
    pub precision: Precision,
    /// Threads that compute, one batch each; at least 1.
    pub threads: usize,
    /// Batch sizes that are computed, ascending; each is warmed at the start.
    pub batches: Vec<usize>,
    /// While one thread computes, how long a call may wait for it before another thread starts on a small batch.
    pub patience: Duration,
}

/// A model that is pulled at the start, and kept in the folder of models.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Folder of models: `s3://BUCKET/PATH`, `https://HOST/PATH` or `file:///PATH`.
    pub url: String,
    /// SHA-256 of the model's `model.toml`, 64 hexadecimal digits.
    pub sha256: String,
}

/// The model of this release, and a thread for each core.
impl Default for Config {
    fn default() -> Self {
        Self {
            port: PortConfig::default(),
            models: None,
            model: DEFAULT_MODEL.parse().expect("it is a name and a version"),
            pull: None,
            device: DeviceChoice::Auto,
            precision: Precision::Auto,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            batches: vec![1, 2, 3, 4, 6, 8, 12, 16],
            patience: Duration::from_millis(5),
        }
    }
}

impl Config {
    /// Calls that one gateway may have here.
    pub(crate) fn credit(&self) -> usize {
        let largest = self.batches.iter().copied().max().unwrap_or(1);
        self.threads + AHEAD * largest
    }

    pub(crate) fn engine(&self, models: PathBuf) -> EngineConfig {
        EngineConfig {
            repository: models,
            model: self.model.clone(),
            device: self.device,
            precision: self.precision,
            threads: self.threads,
            policy: Policy {
                buckets: self.batches.clone(),
                limit: self.credit() * GATEWAYS,
                patience: self.patience,
            },
        }
    }
}
