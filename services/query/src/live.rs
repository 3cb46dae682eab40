//! The live feed: read once from the store, given to all who watch.

use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::store::v1::{SubscribeRequest, SubscribeResponse};
use ovomesh_mesh::Lifecycle;
use tokio::sync::broadcast;
use tonic::Status;

use crate::Store;

/// Messages kept for watchers that are behind: at 20 a second, 12 s.
const KEPT: usize = 256;
/// First and longest pause before the store is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// One step of the feed, shared by all watchers.
#[derive(Debug, Default)]
pub struct Step {
    /// Rows, without previews.
    pub rows: Vec<Row>,
    /// Where to go on after them, as the store gave it.
    pub token: Vec<u8>,
    /// Rows that were missed before these, at least.
    pub lagged: u64,
    /// Number of the first row since this process began to read: tells a slow watcher how many it missed.
    pub first: u64,
}

/// The feed of this process.
#[derive(Clone)]
pub struct Live {
    steps: broadcast::Sender<Arc<Step>>,
}

impl Live {
    /// Reads the feed until the drain.
    pub fn start(store: Store, lifecycle: &Lifecycle) -> Self {
        let live = Self { steps: broadcast::Sender::new(KEPT) };
        let (steps, drain) = (live.steps.clone(), lifecycle.drain.clone());
        lifecycle.spawn("live", async move {
            tokio::select! {
                () = follow(store, steps) => {}
                () = drain.cancelled() => {}
            }
        });
        live
    }

    /// How many watch from the feed of this process.
    pub fn watchers(&self) -> usize {
        self.steps.receiver_count()
    }

    /// From now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Step>> {
        self.steps.subscribe()
    }
}

async fn follow(mut store: Store, steps: broadcast::Sender<Arc<Step>>) {
    let (mut token, mut first, mut pause) = (Vec::new(), 0, PAUSES.0);
    loop {
        let status = match store.subscribe(SubscribeRequest { token: token.clone().into() }).await {
            Ok(feed) => {
                pause = PAUSES.0;
                let mut feed = feed.into_inner();
                loop {
                    match feed.message().await {
                        Ok(Some(SubscribeResponse { rows, token: next, lagged })) => {
                            token = next.to_vec();
                            first += lagged;
                            let count = rows.len() as u64;
                            // Nobody may be watching.
                            let _ = steps.send(Arc::new(Step { rows, token: token.clone(), lagged, first }));
                            first += count;
                        }
                        Ok(None) => break Status::unavailable("the store ended its feed"),
                        Err(status) => break status,
                    }
                }
            }
            Err(status) => status,
        };
        tracing::warn!(code = ?status.code(), error = status.message(), "the live feed broke, reading it again");
        if status.code() == tonic::Code::InvalidArgument {
            // A token that the store does not take any more: begin anew rather than never again.
            token.clear();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
