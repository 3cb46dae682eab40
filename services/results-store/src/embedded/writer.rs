//! The one thread that writes: it waits for the disk, so that nothing else has to.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::engine::Engine;
use crate::StoreError;
use crate::once::Outcome;
use crate::record::Record;

/// Batches that may wait: there is one committer, and it waits for each batch.
const BATCHES: usize = 1;

type Written = Result<Vec<Outcome>, StoreError>;
type Batch = (Vec<Record>, oneshot::Sender<Written>);

/// Hands batches to the thread. Dropping it waits until the thread has ended.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let (queue, mut batches) = mpsc::channel::<Batch>(BATCHES);
        let write = move || {
            while let Some((records, answer)) = batches.blocking_recv() {
                // Who asked may be gone; the rows are stored all the same.
                let _ = answer.send(engine.write(records));
            }
        };
        let thread = std::thread::Builder::new().name("store writer".into()).spawn(write)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Comes back when the batch is durable, or not stored. `None` when the thread is gone.
    pub async fn write(&self, records: Vec<Record>) -> Option<Written> {
        let (answer, answered) = oneshot::channel();
        self.queue.as_ref()?.send((records, answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        // A panic in it was told by the default hook.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
