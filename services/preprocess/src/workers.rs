//! Preparing is CPU work: it runs on threads of its own, one to a core, never on the I/O runtime.

use std::sync::Arc;
use std::thread::JoinHandle;

use ovomesh_api::pb::preprocess::v1::Prepared;
use ovomesh_api::pb::scan::v1::Volume;
use ovomesh_mesh::{Done, StageError, Work};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::prepare::Preparer;
use crate::queue::{Key, Queue};

/// Threads that prepare volumes, earliest deadline first.
#[derive(Clone)]
pub struct Workers(Arc<Pool>);

struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: Queue<Task>,
    closed: bool,
}

/// One call that waits: its volume, since when, and who wants the answer.
struct Task {
    work: Work<Volume>,
    since: Instant,
    answer: oneshot::Sender<Result<Done<Prepared>, StageError>>,
}

impl Workers {
    /// Starts `threads` threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let spawn = |n| {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("prepare-{n}")).spawn(move || shared.work())
        };
        let threads = (0..threads).map(spawn).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Arc::new(Pool { shared, threads: Mutex::new(threads) })))
    }

    /// Prepares one volume. The streams' credit bounds how many wait, so a volume may not outlive the stream of its caller.
    pub async fn prepare(&self, work: Work<Volume>) -> Result<Done<Prepared>, StageError> {
        let (answer, answered) = oneshot::channel();
        let (deadline, shared) = (work.deadline, &self.0.shared);
        let key = shared.queue.lock().queue.push(deadline, Task { work, since: Instant::now(), answer });
        let _waiting = Waiting { shared, key };
        shared.wake.notify_one();
        answered
            .await
            .unwrap_or_else(|_| Err(StageError::internal("preparing this volume failed unexpectedly")))
    }
}

/// A caller that waits. Its volume leaves the queue with it.
struct Waiting<'a> {
    shared: &'a Shared,
    key: Key,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.queue.lock().queue.remove(self.key);
    }
}

impl Shared {
    fn work(&self) {
        let mut preparer = Preparer::default();
        while let Some(Task { work, since, answer }) = self.next() {
            let begun = Instant::now();
            // A defect in one image must not take the thread: its scratch space is made anew.
            let run = std::panic::AssertUnwindSafe(|| preparer.prepare(&work.body));
            let result = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                preparer = Preparer::default();
                Err(StageError::internal(
                    "preparing this volume panicked; this is a defect, please report it",
                ))
            });
            let worked = begun.elapsed();
            metrics::histogram!("ovomesh_preprocess_work_seconds").record(worked.as_secs_f64());
            let done = result.map(|body| Done { body, queued: begun.duration_since(since), worked });
            // The caller may have gone meanwhile.
            let _ = answer.send(done);
        }
    }

    /// The next task that is worth its work; `None` when all is over.
    fn next(&self) -> Option<Task> {
        let mut state = self.queue.lock();
        loop {
            let now = Instant::now();
            while let Some(job) = state.queue.pop_expired(now) {
                let _ = job
                    .answer
                    .send(Err(StageError::expired("the budget ran out in the queue of preprocess")));
            }
            if let Some(task) = state.queue.pop() {
                return Some(task);
            }
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_all();
        for thread in self.threads.lock().drain(..) {
            // A panic was answered where it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_volume_whose_caller_is_gone_is_let_go() {
        // No thread takes it, as when all are busy.
        let workers = Workers::start(0).unwrap();
        let deadline = Some(Instant::now() + Duration::from_secs(60));
        let work = Work { body: Volume::default(), deadline, alone: false, traceparent: String::new() };
        assert!(tokio::time::timeout(Duration::ZERO, workers.prepare(work)).await.is_err());
        assert!(workers.0.shared.queue.lock().queue.pop().is_none());
    }
}
