//! The model behind a queue and a few threads: samples in, scores out. Knows nothing of gRPC.

use crate::batch::{Policy, buckets_are_valid};
use crate::device::{self, DeviceChoice};
use crate::error::EngineError;
use crate::manifest::ModelId;
use crate::model::{Model, Precision, Scores};
use crate::queue::{Queue, Refusal};
use crate::worker::{self, Call};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How to start an [`Engine`].
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Folder of models: `models/<name>/<version>/model.toml`.
    pub repository: PathBuf,
    /// Which model.
    pub model: ModelId,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Which file of the model.
    pub precision: Precision,
    /// Worker threads, each computing one batch at a time on one core.
    pub threads: usize,
    /// Batch sizes, how many calls may wait, and how long a call may be held back.
    pub policy: Policy,
}

/// One input to judge.
#[derive(Debug, Clone)]
pub struct Work {
    /// u8 samples of the model's grid, x fastest, then y, then z.
    pub samples: Bytes,
    /// When nobody will want the answer any more. None: runs behind all work that has a deadline.
    pub deadline: Option<Instant>,
    /// Compute it in a batch of its own, because it may have killed a replica.
    pub alone: bool,
}

/// What the engine says of one input.
#[derive(Debug, Clone)]
pub struct Inferred {
    /// The model's scores.
    pub scores: Scores,
    /// Size of the batch as computed, padding included.
    pub batch: u32,
    /// From the call to the start of its batch.
    pub queued: Duration,
    /// Work on its whole batch.
    pub worked: Duration,
}

/// With what an engine computes. Same input, batch size and values here give the same scores, bit for bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// `name/version`.
    pub model: String,
    /// First 16 hex digits of the model file's SHA-256.
    pub model_sha256: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Instruction set of libtorch's kernels, such as `AVX512`.
    pub cpu_capability: String,
    /// `fp32` or `bf16`.
    pub precision: Precision,
}

/// A started model. Dropping it stops it: batches in work are finished, waiting calls are answered
/// [`EngineError::Stopped`], and the threads are joined, which takes as long as one batch.
#[derive(Debug)]
pub struct Engine {
    queue: Arc<Queue<Call>>,
    workers: Vec<JoinHandle<()>>,
    provenance: Provenance,
    volume_bytes: usize,
    limit: usize,
}

impl Engine {
    /// Loads the model, starts the workers and warms every batch size on each of them: what is returned is ready.
    /// Blocks for a second or so.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        if !buckets_are_valid(&config.policy.buckets) {
            let reason = format!("batch sizes {:?} are not ascending and above zero", config.policy.buckets);
            return Err(EngineError::Manifest { path: config.repository, reason });
        }
        let device = config.device.open()?;
        let model = Arc::new(Model::load(&config.repository, &config.model, device, config.precision)?);
        let provenance = Provenance {
            model: config.model.to_string(),
            model_sha256: model.sha256.chars().take(16).collect(),
            device: device::name(device),
            cpu_capability: device::cpu_capability(),
            precision: model.precision,
        };
        let queue = Arc::new(Queue::new(config.policy.clone()));
        let mut engine = Self {
            queue: Arc::clone(&queue),
            workers: Vec::new(),
            provenance,
            volume_bytes: model.manifest.volume_bytes(),
            limit: config.policy.limit,
        };
        let (ready, readiness) = std::sync::mpsc::channel();
        for index in 0..config.threads.max(1) {
            let (model, queue, ready) = (Arc::clone(&model), Arc::clone(&queue), ready.clone());
            let buckets = config.policy.buckets.clone();
            let worker = std::thread::Builder::new()
                .name(format!("infer-{index}"))
                .spawn(move || worker::run(&model, &queue, &buckets, &ready))
                .map_err(EngineError::Thread)?;
            engine.workers.push(worker);
        }
        drop(ready);
        for _ in 0..engine.workers.len() {
            // A worker that dies before it speaks has panicked: its half of the channel is gone.
            readiness.recv().unwrap_or(Err(EngineError::Stopped))?;
        }
        Ok(engine)
    }

    /// Queues the work at once; the future resolves when it is done. Dropping the future drops work not yet begun.
    pub fn infer(&self, work: Work) -> impl Future<Output = Result<Inferred, EngineError>> + Send + use<> {
        let answer = self.submit(work);
        async move { answer?.await.unwrap_or(Err(EngineError::Stopped)) }
    }

    fn submit(&self, work: Work) -> Result<oneshot::Receiver<Result<Inferred, EngineError>>, EngineError> {
        if work.samples.len() != self.volume_bytes {
            return Err(EngineError::Size { found: work.samples.len(), expected: self.volume_bytes });
        }
        let (answer, answered) = oneshot::channel();
        let call = Call { samples: work.samples, came: Instant::now(), answer };
        match self.queue.push(call, work.deadline, work.alone) {
            Ok(()) => Ok(answered),
            Err(Refusal::Full) => Err(EngineError::Full { limit: self.limit }),
            Err(Refusal::Stopping) => Err(EngineError::Stopped),
        }
    }

    /// Calls that wait; those in work are not counted.
    pub fn depth(&self) -> usize {
        self.queue.len()
    }

    /// With what it computes.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for call in self.queue.stop() {
            call.answer(Err(EngineError::Stopped));
        }
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker thread had panicked");
            }
        }
    }
}
