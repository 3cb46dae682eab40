//! The one thread that writes and removes: it waits for the disk, so that nothing else has to.

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
    pub fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let (queue, batches) = mpsc::channel::<Batch>(BATCHES);
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let write = move || timer.block_on(write(&engine, batches));
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

/// Writes batches as they arrive, and applies the limits between two of them.
async fn write(engine: &Engine, mut batches: mpsc::Receiver<Batch>) {
    let mut tender = engine.tender();
    loop {
        engine.tend(&mut tender);
        match tokio::time::timeout(engine.keep.check, batches.recv()).await {
            // The caller may be gone; the rows are stored all the same.
            Ok(Some((records, answer))) => drop(answer.send(engine.write(records))),
            Ok(None) => return,
            Err(_) => {}
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        // The default hook has printed its panic.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
