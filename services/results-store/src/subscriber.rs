//! One reader of the live feed.

use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::store::v1::SubscribeResponse;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::feed::{Feed, Part};

/// Messages that wait for a reader.
pub const AHEAD: usize = 4;
/// Rows in one message.
const ROWS: usize = 256;
/// Bytes of rows in one message, before the row that reaches it: a quarter of what gRPC clients take by default.
const BYTES: usize = 1 << 20;
/// How long rows are gathered for one message: people watch it, and many readers must stay cheap.
const GATHER: Duration = Duration::from_millis(50);

/// Where one reader is, and where it listens.
pub struct Subscriber {
    pub feed: Arc<Feed>,
    /// The number of the row that it reads next.
    pub from: u64,
    /// Rows that it missed before.
    pub lagged: u64,
    pub send: mpsc::Sender<Result<SubscribeResponse, Status>>,
    /// Feeds end when the service drains.
    pub drain: CancellationToken,
}

impl Subscriber {
    /// Sends the feed until the reader is gone or the service drains.
    pub async fn run(mut self) {
        let drain = self.drain.clone();
        tokio::select! {
            () = self.follow() => {}
            () = drain.cancelled() => {}
        }
    }

    async fn follow(&mut self) {
        let mut written = self.feed.written();
        let mut part = Part { rows: Vec::new(), next: self.from, lagged: self.lagged };
        while self.send(part).await {
            tokio::select! {
                _ = written.wait_for(|end| *end > self.from) => {}
                () = self.send.closed() => return,
            }
            // A full message need not wait for more.
            if self.feed.end() - self.from < ROWS as u64 {
                tokio::time::sleep(GATHER).await;
            }
            part = self.feed.read(self.from, ROWS, BYTES);
        }
    }

    /// False when the reader is gone.
    async fn send(&mut self, part: Part) -> bool {
        self.from = part.next;
        let message = SubscribeResponse {
            rows: part.rows,
            token: self.feed.token(part.next).into(),
            lagged: part.lagged,
        };
        self.send.send(Ok(message)).await.is_ok()
    }
}
