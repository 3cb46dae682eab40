//! One worker thread: takes batches, computes them, answers. It outlives a batch that fails or panics.

use crate::batch::Batch;
use crate::engine::Inferred;
use crate::error::EngineError;
use crate::ffi;
use crate::model::{Model, Scores};
use crate::queue::Queue;
use bytes::Bytes;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};
use tokio::sync::oneshot;

/// A call that waits for its scores.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) samples: Bytes,
    pub(crate) came: Instant,
    pub(crate) answer: oneshot::Sender<Result<Inferred, EngineError>>,
}

impl Call {
    /// A caller that is gone does not mind.
    pub(crate) fn answer(self, result: Result<Inferred, EngineError>) {
        let _ = self.answer.send(result);
    }
}

/// Runs per batch size before the first call. libtorch profiles a graph on its first run and compiles it on the second;
/// the third shows that it is done.
const WARM_RUNS: usize = 3;

/// The thread: warms up, says so, then works until the queue stops.
pub(crate) fn run(
    model: &Model,
    queue: &Queue<Call>,
    buckets: &[usize],
    ready: &Sender<Result<(), EngineError>>,
) {
    // Both are settings of a thread, not of the process. One core a batch: the cores are shared out by batches.
    tch::set_num_threads(1);
    let _no_grad = tch::no_grad_guard();
    let mut inputs = Inputs::new(model, buckets);
    let warm = guarded(|| buckets.iter().try_for_each(|&bucket| warm(model, &mut inputs, bucket)));
    let is_warm = warm.is_ok();
    if ready.send(warm.map_err(|error| model.load_error(&error))).is_err() || !is_warm {
        return;
    }
    queue.serve(|call| !call.answer.is_closed(), |batch| work(model, &mut inputs, batch));
}

fn warm(model: &Model, inputs: &mut Inputs, bucket: usize) -> Result<(), EngineError> {
    for _ in 0..WARM_RUNS {
        model.run(inputs.fill(bucket, std::iter::empty()), bucket)?;
    }
    Ok(())
}

fn work(model: &Model, inputs: &mut Inputs, batch: Batch<Call>) {
    let began = Instant::now();
    let Batch { calls, bucket, expired } = batch;
    for call in expired {
        metrics::counter!("ovomesh_inference_expired_total").increment(1);
        call.answer(Err(EngineError::Expired));
    }
    if calls.is_empty() {
        return;
    }
    let scores = guarded(|| {
        let input = inputs.fill(bucket, calls.iter().map(|call| call.samples.as_ref()));
        model.run_each(input, calls.len())
    });
    let worked = began.elapsed();
    metrics::histogram!("ovomesh_inference_batch_size").record(calls.len() as f64);
    metrics::histogram!("ovomesh_inference_batch_seconds").record(worked.as_secs_f64());
    match scores {
        Ok(scores) => answer(calls, bucket, scores, began, worked),
        Err(error) => fail(calls, bucket, &error),
    }
}

fn answer(
    calls: Vec<Call>,
    bucket: usize,
    scores: Vec<Result<Scores, EngineError>>,
    began: Instant,
    worked: Duration,
) {
    let size = u32::try_from(bucket).unwrap_or(u32::MAX);
    for (call, scores) in calls.into_iter().zip(scores) {
        let queued = began.saturating_duration_since(call.came);
        match scores {
            Ok(scores) => call.answer(Ok(Inferred { scores, batch: size, queued, worked })),
            Err(error) => fail(vec![call], bucket, &error),
        }
    }
}

fn fail(calls: Vec<Call>, bucket: usize, error: &EngineError) {
    let reason = match error {
        EngineError::Failed { reason, .. } => reason.clone(),
        error => error.to_string(),
    };
    tracing::error!(batch = bucket, scans = calls.len(), %reason, "scans failed");
    metrics::counter!("ovomesh_inference_failed_total").increment(calls.len() as u64);
    for call in calls {
        call.answer(Err(EngineError::Failed { batch: bucket, reason: reason.clone() }));
    }
}

/// Turns a panic into an error: tch panics on some errors of libtorch, and one bad batch must not end the thread.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // What `work` touches is the input buffers, which every batch overwrites, and the model, which it only reads.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(EngineError::Failed { batch: 0, reason: format!("panicked: {}", panic_message(panic.as_ref())) })
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// The input tensors of one worker, one per batch size, reused so that a batch costs one copy and no allocation.
struct Inputs {
    tensors: BTreeMap<usize, Tensor>,
    volume_bytes: usize,
}

impl Inputs {
    fn new(model: &Model, buckets: &[usize]) -> Self {
        let [z, y, x] = model.manifest.input.map(to_i64);
        let zeros =
            |&bucket: &usize| (bucket, Tensor::zeros([to_i64(bucket), z, y, x], (Kind::Uint8, Device::Cpu)));
        Self { tensors: buckets.iter().map(zeros).collect(), volume_bytes: model.manifest.volume_bytes() }
    }

    /// Copies the volumes to the front of the bucket's tensor and zeroes what an earlier batch left in the rest, so
    /// that padding is always the same.
    fn fill<'v>(&mut self, bucket: usize, volumes: impl Iterator<Item = &'v [u8]>) -> &Tensor {
        let tensor =
            self.tensors.get_mut(&bucket).expect("the former only forms batches of the configured sizes");
        let mut rest = ffi::bytes_of(tensor);
        for volume in volumes {
            let (slot, tail) = rest.split_at_mut(self.volume_bytes);
            slot.copy_from_slice(volume);
            rest = tail;
        }
        rest.fill(0);
        tensor
    }
}

fn to_i64(samples: usize) -> i64 {
    i64::try_from(samples).expect("sizes are small")
}
