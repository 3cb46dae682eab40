//! One watcher: what it wants of the live feed, at its own speed.

use std::sync::Arc;

use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{Lagged, Rows, WatchResponse};
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::store::v1::{SubscribeRequest, SubscribeResponse};
use ovomesh_mesh::Lifecycle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tonic::Status;

use crate::Store;
use crate::filter::Wanted;
use crate::live::Step;
use crate::token;

/// Where its messages go.
pub type Sender = mpsc::Sender<Result<WatchResponse, Status>>;

/// Watches from now on.
pub async fn from_now(
    wanted: Wanted,
    mut steps: broadcast::Receiver<Arc<Step>>,
    send: Sender,
    lifecycle: Lifecycle,
) {
    if !tell(&send, rows(Vec::new(), &[])).await {
        return;
    }
    // The number of the row that it should see next; unknown before the first step.
    let mut next = None;
    // Where it would go on to see what it missed.
    let mut last = Vec::new();
    loop {
        let step = tokio::select! {
            step = steps.recv() => step,
            () = send.closed() => return,
            () = lifecycle.drain.cancelled() => return,
        };
        let step = match step {
            Ok(step) => step,
            // How many rows these were is told by the next step's number.
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        // What the feed itself missed is part of the step's number.
        let missed = next.map_or(step.lagged, |next: u64| step.first.saturating_sub(next));
        next = Some(step.first + step.rows.len() as u64);
        if missed > 0 && !tell(&send, lagged(missed, &last)).await {
            return;
        }
        last.clone_from(&step.token);
        let kept: Vec<Row> = step.rows.iter().filter(|row| wanted.keeps(row)).cloned().collect();
        if !kept.is_empty() && !tell(&send, rows(kept, &step.token)).await {
            return;
        }
    }
}

/// Goes on after a token: a feed of its own, from the store.
pub async fn from_token(
    wanted: Wanted,
    mut store: Store,
    token: Vec<u8>,
    send: Sender,
    lifecycle: Lifecycle,
) {
    let mut feed = match store.subscribe(SubscribeRequest { token: token.into() }).await {
        Ok(feed) => feed.into_inner(),
        Err(status) => {
            // The watcher may be gone.
            let _ = send.send(Err(status)).await;
            return;
        }
    };
    let mut live = false;
    loop {
        let message = tokio::select! {
            message = feed.message() => message,
            () = send.closed() => return,
            () = lifecycle.drain.cancelled() => return,
        };
        let step = match message {
            Ok(Some(step)) => step,
            Ok(None) => return,
            Err(status) => {
                let _ = send.send(Err(status)).await;
                return;
            }
        };
        let SubscribeResponse { rows: all, token, lagged: missed } = step;
        if missed > 0 && !tell(&send, lagged(missed, &token)).await {
            return;
        }
        let kept: Vec<Row> = all.into_iter().filter(|row| wanted.keeps(row)).collect();
        if (!kept.is_empty() || !live) && !tell(&send, rows(kept, &token)).await {
            return;
        }
        live = true;
    }
}

/// False when nobody listens any more.
async fn tell(send: &Sender, message: WatchResponse) -> bool {
    send.send(Ok(message)).await.is_ok()
}

fn rows(rows: Vec<Row>, token: &[u8]) -> WatchResponse {
    WatchResponse { message: Some(Message::Rows(Rows { rows })), resume_token: token::to_text(token) }
}

fn lagged(rows: u64, token: &[u8]) -> WatchResponse {
    WatchResponse { message: Some(Message::Lagged(Lagged { rows })), resume_token: token::to_text(token) }
}
