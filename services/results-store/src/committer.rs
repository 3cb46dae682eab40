//! Group commit: whatever has come since the last batch is the next batch. A store that can takes several at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_mesh::Lifecycle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::StoreError;
use crate::feed::Feed;
use crate::record::Record;
use crate::store::Store;

/// Rows in one batch: a second of the headline rate, so that a batch after a pause still ends soon.
const BATCH: usize = 1_024;
/// Rows that may wait: what all gateways may have outstanding is bounded by credit, this guards against defects.
const WAITING: usize = 65_536;
/// From the start of one batch to the start of the next, at least. An fsync costs as much CPU as storing five rows, and
/// nobody waits for one: a verdict is sent before its row is stored. A row that comes alone is written at once.
const GATHER: Duration = Duration::from_millis(10);
/// Until the next try after a batch that failed: a full disk stays full for a while.
const PAUSE: Duration = Duration::from_millis(100);

type Waiting = (Record, oneshot::Sender<Result<(), StoreError>>);

/// Hands rows to the one task that has them written.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Waiting>,
}

impl Committer {
    /// Starts the task. It ends when the last committer is dropped and all is written.
    pub fn start<S: Store>(store: Arc<S>, feed: Arc<Feed>, lifecycle: &Lifecycle) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        lifecycle.spawn("committer", commit(store, feed, waiting, lifecycle.clone()));
        Self { queue }
    }

    /// Stores one row. Gives its `stored_at` when it is durable.
    pub async fn append(&self, row: Row) -> Result<Timestamp, StoreError> {
        let now = Timestamp::now();
        let record = Record::parse(row, now)?;
        let (answer, answered) = oneshot::channel();
        let ended =
            || StoreError::Unavailable { place: "this process".into(), reason: "it is ending".into() };
        self.queue.send((record, answer)).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended())).map(|()| now)
    }
}

async fn commit<S: Store>(
    store: Arc<S>,
    feed: Arc<Feed>,
    mut waiting: mpsc::Receiver<Waiting>,
    life: Lifecycle,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let turns = Arc::new(Semaphore::new(S::APPENDS));
    let mut next = Instant::now();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        tokio::time::sleep_until(next).await;
        // It is never closed.
        let turn = turns.clone().acquire_owned().await;
        while batch.len() < BATCH
            && let Ok(row) = waiting.try_recv()
        {
            batch.push(row);
        }
        next = Instant::now() + GATHER;
        let (records, answers): (Vec<Record>, Vec<_>) = batch.drain(..).unzip();
        let (store, feed) = (store.clone(), feed.clone());
        life.spawn("append", async move {
            let result = write(&*store, records, &feed).await;
            let failed = result.is_err();
            for answer in answers {
                // Who asked may be gone; the row is stored all the same.
                let _ = answer.send(result.clone());
            }
            if failed {
                tokio::time::sleep(PAUSE).await;
            }
            drop(turn);
        });
    }
}

async fn write<S: Store>(store: &S, records: Vec<Record>, feed: &Feed) -> Result<(), StoreError> {
    let begun = Instant::now();
    let rows: Vec<_> = records.iter().map(|record| record.row.clone()).collect();
    let count = rows.len();
    let result = store.append(records).await;
    metrics::histogram!("ovomesh_store_commit_seconds").record(begun.elapsed().as_secs_f64());
    metrics::histogram!("ovomesh_store_batch_size").record(count as f64);
    match &result {
        Ok(()) => {
            metrics::counter!("ovomesh_store_rows_total").increment(count as u64);
            feed.push(rows);
        }
        Err(error) => {
            metrics::counter!("ovomesh_store_rows_failed_total").increment(count as u64);
            tracing::error!(%error, rows = count, "a batch was not stored");
        }
    }
    result
}
