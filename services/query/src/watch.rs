//! One watcher: what it wants of the live feed, at its own speed.

use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{Lagged, Rows, WatchResponse};
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::store::v1::SubscribeResponse;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::filter::Wanted;
use crate::live::Live;
use crate::ring::{Cursor, Next};
use crate::store::Store;
use crate::token;

/// After so long without a row that it wants, a watcher gets an empty message with a new token: an old one may be of
/// rows that nobody keeps any more when it comes back.
const QUIET: Duration = Duration::from_secs(5);

/// How long a watcher waits for a store that was never there.
const BEGIN: Duration = Duration::from_secs(5);

/// The watcher is gone.
struct Gone;

/// A watcher, and where it listens.
pub struct Watcher {
    /// What it wants.
    pub wanted: Wanted,
    /// The feed that all share.
    pub live: Arc<Live>,
    /// For those who come back after more than the feed keeps.
    pub store: Store,
    /// To the watcher.
    pub send: mpsc::Sender<Result<WatchResponse, Status>>,
}

impl Watcher {
    /// Watches from `token` on, or from now, until the watcher is gone or the service drains.
    pub async fn run(self, token: Option<Vec<u8>>, drain: CancellationToken) {
        let send = self.send.clone();
        tokio::select! {
            // Where it ends is of no interest to anybody.
            _ = self.watch(token) => {}
            () = send.closed() => {}
            () = drain.cancelled() => {}
        }
    }

    async fn watch(&self, token: Option<Vec<u8>>) -> Result<(), Gone> {
        let at = match token {
            None => {
                let Ok((at, token)) = tokio::time::timeout(BEGIN, self.live.now()).await else {
                    let uri = self.store.uri();
                    return self
                        .end(Status::unavailable(format!(
                            "results-store at {uri} has no feed yet; try again"
                        )))
                        .await;
                };
                self.rows(Vec::new(), &token).await?;
                at
            }
            Some(token) => self.catch_up(token).await?,
        };
        self.follow(at).await
    }

    /// Reads what a watcher missed during a break, through a feed of its own until it meets the shared one.
    async fn catch_up(&self, token: Vec<u8>) -> Result<Cursor, Gone> {
        if let Some(at) = self.live.after(&token) {
            self.rows(Vec::new(), &token).await?;
            return Ok(at);
        }
        let mut feed = match self.store.subscribe(token.clone()).await {
            Ok(feed) => feed,
            Err(status) => return self.end(status).await,
        };
        self.rows(Vec::new(), &token).await?;
        loop {
            let SubscribeResponse { rows, token, lagged } = match feed.message().await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    return self.end(Status::unavailable("the store ended its feed; try again")).await;
                }
                Err(status) => return self.end(self.store.told(&status)).await,
            };
            if lagged > 0 {
                self.lagged(lagged, &token).await?;
            }
            let kept: Vec<_> = rows.into_iter().filter(|row| self.wanted.keeps(row)).collect();
            if !kept.is_empty() {
                self.rows(kept, &token).await?;
            }
            if let Some(at) = self.live.after(&token) {
                return Ok(at);
            }
        }
    }

    /// The shared feed, for ever.
    async fn follow(&self, mut at: Cursor) -> Result<(), Gone> {
        let mut told = Instant::now();
        loop {
            match self.live.next(at).await {
                Next::Step(step, next) => {
                    at = next;
                    if step.lagged > 0 {
                        self.lagged(step.lagged, &step.token).await?;
                    }
                    let kept: Vec<_> =
                        step.rows.iter().filter(|row| self.wanted.keeps(row)).cloned().collect();
                    if kept.is_empty() && told.elapsed() < QUIET {
                        continue;
                    }
                    self.rows(kept, &step.token).await?;
                }
                Next::Missed(rows, token, next) => {
                    at = next;
                    self.lagged(rows, &token).await?;
                }
                Next::Nothing => continue,
            }
            told = Instant::now();
        }
    }

    async fn rows(&self, rows: Vec<Row>, token: &[u8]) -> Result<(), Gone> {
        self.tell(Message::Rows(Rows { rows }), token).await
    }

    async fn lagged(&self, rows: u64, token: &[u8]) -> Result<(), Gone> {
        self.tell(Message::Lagged(Lagged { rows }), token).await
    }

    async fn tell(&self, message: Message, token: &[u8]) -> Result<(), Gone> {
        let response = WatchResponse { message: Some(message), resume_token: token::to_text(token) };
        self.send.send(Ok(response)).await.map_err(|_| Gone)
    }

    /// Ends the watch with an error.
    async fn end<T>(&self, status: Status) -> Result<T, Gone> {
        let _ = self.send.send(Err(status)).await;
        Err(Gone)
    }
}
