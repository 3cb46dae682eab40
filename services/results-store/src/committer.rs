//! Group commit: all rows that have arrived since the last batch are the next batch. Some stores take several at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_mesh::Lifecycle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::StoreError;
use crate::feed::Feed;
use crate::once::Outcome;
use crate::record::Record;
use crate::store::Store;

/// Rows in one batch: a second of the headline rate, so that a batch after a pause still ends soon.
const BATCH: usize = 1_024;
/// Rows that may wait: what all gateways may have outstanding is bounded by credit, this guards against defects.
const WAITING: usize = 65_536;
/// From the start of one batch to the start of the next, at least. An fsync costs as much CPU as storing five rows, and
/// nobody waits for one: a verdict is sent before its row is stored. A row that arrives alone is written at once.
const GATHER: Duration = Duration::from_millis(10);
/// Until the next try after a batch that failed: a full disk stays full for a while.
const PAUSE: Duration = Duration::from_millis(100);

type Waiting = (Record, oneshot::Sender<Result<Outcome, StoreError>>);

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

    /// Stores one row, unless one that says the same stands. Gives the time of the one that is durable.
    ///
    /// # Errors
    /// Also when one stands that differs.
    pub async fn append(&self, row: Row) -> Result<Timestamp, StoreError> {
        let now = Timestamp::now();
        let record = Record::parse(row, now)?;
        let (answer, answered) = oneshot::channel();
        let ended =
            || StoreError::Unavailable { store: "this process".into(), reason: "it is ending".into() };
        self.queue.send((record, answer)).await.map_err(|_| ended())?;
        match answered.await.unwrap_or_else(|_| Err(ended()))? {
            Outcome::Written => Ok(now),
            Outcome::Stands(since) => Ok(since.unwrap_or(now)),
            Outcome::Refused(invalid) => Err(invalid.into()),
        }
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
            // The caller may be gone; the row is stored anyway.
            match result {
                Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| {
                    let _ = answer.send(Ok(outcome));
                }),
                Err(error) => answers.into_iter().for_each(|answer| {
                    let _ = answer.send(Err(error.clone()));
                }),
            }
            if failed {
                tokio::time::sleep(PAUSE).await;
            }
            drop(turn);
        });
    }
}

async fn write<S: Store>(store: &S, records: Vec<Record>, feed: &Feed) -> Result<Vec<Outcome>, StoreError> {
    let begun = Instant::now();
    let rows: Vec<_> = records.iter().map(|record| record.encoded.clone()).collect();
    let count = rows.len();
    let result = store.append(records).await;
    metrics::histogram!("ovomesh_store_commit_seconds").record(begun.elapsed().as_secs_f64());
    metrics::histogram!("ovomesh_store_batch_size").record(count as f64);
    match &result {
        Ok(outcomes) => {
            let written = rows.into_iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Written);
            let written: Vec<_> = written.map(|(row, _)| row).collect();
            metrics::counter!("ovomesh_store_rows_total").increment(written.len() as u64);
            feed.push(written);
            outcomes.iter().for_each(log_refusal);
        }
        Err(error) => {
            metrics::counter!("ovomesh_store_rows_failed_total").increment(count as u64);
            tracing::error!(%error, rows = count, "a batch was not stored");
        }
    }
    result
}

/// Counts what was not written.
fn log_refusal(outcome: &Outcome) {
    match outcome {
        Outcome::Written => {}
        Outcome::Stands(_) => metrics::counter!("ovomesh_store_repeats_total").increment(1),
        Outcome::Refused(invalid) => {
            metrics::counter!("ovomesh_store_rows_refused_total").increment(1);
            tracing::warn!(error = %invalid, "a row was refused");
        }
    }
}
