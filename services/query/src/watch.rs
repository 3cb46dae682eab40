//! One watcher: what it wants of the live feed, at its own speed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{Lagged, Rows, WatchResponse};
use ovomesh_api::{EncodedRow, Fault};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::filter::Wanted;
use crate::live::{Behind, Live};
use crate::position::{Position, feed};
use crate::ring::{Cursor, Next};
use crate::stored::FeedPart;
use crate::stores::Stores;
use crate::token;

/// After this long without a row that it wants, a watcher gets an empty message with a new token: an old one may be of
/// rows that are no longer kept when it returns.
const QUIET: Duration = Duration::from_secs(5);

/// How long a watcher waits for a store that was never there.
const BEGIN: Duration = Duration::from_secs(5);

/// The watcher is gone.
struct Gone;

/// A watcher, and where it listens.
pub struct Watcher {
    pub wanted: Wanted,
    /// The feed that all share.
    pub live: Arc<Live>,
    /// For watchers that return after more than the feed keeps.
    pub stores: Stores,
    pub send: mpsc::Sender<Result<WatchResponse, Status>>,
}

impl Watcher {
    /// Watches from `from` on, or from now, until the watcher is gone or the service drains.
    pub async fn run(self, from: Option<Position>, drain: CancellationToken) {
        let send = self.send.clone();
        tokio::select! {
            // Where it ends is of no interest to anybody.
            _ = self.watch(from) => {}
            () = send.closed() => {}
            () = drain.cancelled() => {}
        }
    }

    async fn watch(&self, from: Option<Position>) -> Result<(), Gone> {
        let Ok((end, now)) = tokio::time::timeout(BEGIN, self.live.now()).await else {
            let text = format!("results-store at {} has no feed yet; try again", self.stores.names());
            return self.end(Fault::Unavailable.status(text)).await;
        };
        let at = match from {
            None => {
                self.rows(Vec::new(), &now).await?;
                end
            }
            Some(from) => self.catch_up(from).await?,
        };
        self.follow(at).await
    }

    /// Reads what a watcher missed during a break, through feeds of its own until they meet the shared one.
    async fn catch_up(&self, mut at: Position) -> Result<Cursor, Gone> {
        self.rows(Vec::new(), &at).await?;
        // Sent once: nobody can know how many rows of a feed that is gone were missed.
        let mut lost = self.live.lacks(&at);
        if lost {
            self.lagged(1, &at).await?;
        }
        let mut feeds = BTreeMap::new();
        loop {
            if let Some(cursor) = self.live.after(&at) {
                return Ok(cursor);
            }
            let (number, own, missing) = match self.live.behind(&at) {
                Some(Behind::Feed(number, own, missing)) => (number, own, missing),
                Some(Behind::Lost(missing)) => {
                    at.set(&missing);
                    if !std::mem::replace(&mut lost, true) {
                        self.lagged(1, &at).await?;
                    }
                    continue;
                }
                // It has met the shared feed just now.
                None => continue,
            };
            let store = &self.stores.all()[number];
            if let std::collections::btree_map::Entry::Vacant(entry) = feeds.entry(number) {
                match store.subscribe(own.clone()).await {
                    Ok(feed) => drop(entry.insert(feed)),
                    Err(status) if self.stores.all().len() == 1 => return self.end(status).await,
                    // The other feeds continue.
                    Err(_) => {
                        at.set(&missing);
                        self.lagged(1, &at).await?;
                        continue;
                    }
                }
            }
            let Some(reading) = feeds.get_mut(&number) else { continue };
            let FeedPart { rows, token, lagged } = match reading.message().await {
                Ok(Some(message)) => message.into(),
                Ok(None) => {
                    return self.end(Fault::Unavailable.status("the store ended its feed; try again")).await;
                }
                Err(status) => return self.end(store.explained(&status)).await,
            };
            at.set(&token);
            if feed(&token) != feed(&own) {
                // The store was restarted meanwhile, and has said so: nobody has the rest of its former feed.
                at.set(&missing);
            }
            if lagged > 0 {
                self.lagged(lagged, &at).await?;
            }
            let kept = self.wanted.answers(&rows);
            if !kept.is_empty() {
                self.rows(kept, &at).await?;
            }
        }
    }

    /// The shared feed, for ever.
    async fn follow(&self, mut at: Cursor) -> Result<(), Gone> {
        let mut sent_at = Instant::now();
        loop {
            match self.live.next(at).await {
                Next::Step(step, next) => {
                    at = next;
                    if step.lagged > 0 {
                        self.lagged(step.lagged, &step.at).await?;
                    }
                    let kept = self.wanted.answers(&step.rows);
                    if kept.is_empty() && sent_at.elapsed() < QUIET {
                        continue;
                    }
                    self.rows(kept, &step.at).await?;
                }
                Next::Missed(rows, position, next) => {
                    at = next;
                    self.lagged(rows, &position).await?;
                }
                Next::Nothing => continue,
            }
            sent_at = Instant::now();
        }
    }

    async fn rows(&self, rows: Vec<EncodedRow>, at: &Position) -> Result<(), Gone> {
        self.send_at(Message::Rows(Rows { rows }), at).await
    }

    async fn lagged(&self, rows: u64, at: &Position) -> Result<(), Gone> {
        self.send_at(Message::Lagged(Lagged { rows }), at).await
    }

    async fn send_at(&self, message: Message, at: &Position) -> Result<(), Gone> {
        let resume_token = token::to_text(&at.encode());
        let response = WatchResponse { message: Some(message), resume_token };
        self.send.send(Ok(response)).await.map_err(|_| Gone)
    }

    /// Ends the watch with an error.
    async fn end<T>(&self, status: Status) -> Result<T, Gone> {
        let _ = self.send.send(Err(status)).await;
        Err(Gone)
    }
}
