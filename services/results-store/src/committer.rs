//! Group commit: whatever has come while the last batch was written is the next batch.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_mesh::Lifecycle;
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use crate::feed::Feed;
use crate::record::Record;
use crate::store::Store;

/// Rows in one batch: a second of the headline rate, so that a batch after a pause still ends soon.
const BATCH: usize = 1_024;
/// Rows that may wait: what all gateways may have outstanding is bounded by credit, this guards against defects.
const WAITING: usize = 65_536;

type Waiting = (Record, oneshot::Sender<Result<Timestamp, StoreError>>);

/// Hands rows to the one task that writes.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Waiting>,
}

impl Committer {
    /// Starts the task. It ends when the last committer is dropped and all is written.
    pub fn start<S: Store>(store: Arc<S>, feed: Arc<Feed>, lifecycle: &Lifecycle) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        lifecycle.spawn("committer", commit(store, feed, waiting));
        Self { queue }
    }

    /// Stores one row. Gives the time of its batch when it is durable.
    pub async fn append(&self, row: Row) -> Result<Timestamp, StoreError> {
        let record = Record::parse(row, Timestamp::now())?;
        let (answer, answered) = oneshot::channel();
        let ended =
            || StoreError::Unavailable { place: "this process".into(), reason: "it is ending".into() };
        self.queue.send((record, answer)).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn commit<S: Store>(store: Arc<S>, feed: Arc<Feed>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let (records, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let rows: Vec<_> = records.iter().map(|record: &Record| record.row.clone()).collect();
        let begun = Instant::now();
        let result = store.append(records).await;
        metrics::histogram!("ovomesh_store_commit_seconds").record(begun.elapsed().as_secs_f64());
        metrics::histogram!("ovomesh_store_batch_size").record(rows.len() as f64);
        match &result {
            Ok(()) => {
                metrics::counter!("ovomesh_store_rows_total").increment(rows.len() as u64);
                feed.push(rows);
            }
            Err(error) => tracing::error!(%error, rows = rows.len(), "a batch was not stored"),
        }
        let result = result.map(|()| Timestamp::now());
        for answer in answers {
            // Who asked may be gone; the row is stored all the same.
            let _ = answer.send(result.clone());
        }
    }
}
