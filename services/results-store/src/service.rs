//! The gRPC surface of results-store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::store::v1::store_service_server::StoreService;
use ovomesh_api::pb::store::v1::{
    AppendRequest, Appended, GetScanRequest, GetScanResponse, ListEggRequest, ListEggResponse,
    ListLineRequest, ListLineResponse, SubscribeRequest, SubscribeResponse,
};
use ovomesh_api::stages::Append;
use ovomesh_api::{EggId, Invalid, Line, ScanId, Site, time};
use ovomesh_mesh::{Done, Lifecycle, ResponseStream, StageError, StageServer, Work};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::committer::Committer;
use crate::feed::{Feed, Position};
use crate::store::{LineRange, Store};

/// Rows of a page or list.
const ROWS: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Rows when none are asked for.
const DEFAULT_ROWS: u32 = 100;
/// Rows in one message of the feed.
const FEED_ROWS: usize = 256;
/// How long rows are gathered for one message of the feed: people watch it, and many readers must stay cheap.
const FEED_GATHER: Duration = Duration::from_millis(50);
/// Messages of the feed that wait for a reader.
const FEED_AHEAD: usize = 4;

/// Serves a store.
pub struct Service<S> {
    /// Reads.
    pub store: Arc<S>,
    /// Writes.
    pub stage: StageServer<Append>,
    /// Tells.
    pub feed: Arc<Feed>,
    /// Feeds are its tasks.
    pub lifecycle: Lifecycle,
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Self {
        let (store, feed) = (self.store.clone(), self.feed.clone());
        Self { store, stage: self.stage.clone(), feed, lifecycle: self.lifecycle.clone() }
    }
}

/// One row through the committer.
pub async fn append(committer: Committer, work: Work<Row>) -> Result<Done<Appended>, StageError> {
    let begun = Instant::now();
    let stored_at = committer.append(work.body).await?;
    let body = Appended { stored_at: Some(time::to_pb(stored_at)) };
    Ok(Done { body, queued: Duration::ZERO, worked: begun.elapsed() })
}

#[tonic::async_trait]
impl<S: Store> StoreService for Service<S> {
    type AppendStream = ResponseStream<Append>;
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        Ok(Response::new(self.stage.accept(request.into_inner())?))
    }

    async fn get_scan(&self, request: Request<GetScanRequest>) -> Result<Response<GetScanResponse>, Status> {
        let scan_id = ScanId::parse(&request.into_inner().scan_id).map_err(invalid)?;
        match self.store.get_scan(scan_id.clone()).await? {
            Some(row) => Ok(Response::new(GetScanResponse { row: Some(row) })),
            None => Err(Status::not_found(format!("scan {scan_id} is not stored"))),
        }
    }

    async fn list_egg(&self, request: Request<ListEggRequest>) -> Result<Response<ListEggResponse>, Status> {
        let request = request.into_inner();
        let egg_id = EggId::parse(&request.egg_id).map_err(invalid)?;
        let rows = self.store.list_egg(egg_id, limit(request.limit)?).await?;
        Ok(Response::new(ListEggResponse { rows }))
    }

    async fn list_line(
        &self,
        request: Request<ListLineRequest>,
    ) -> Result<Response<ListLineResponse>, Status> {
        let page = self.store.list_line(range(request.into_inner()).map_err(invalid)?).await?;
        Ok(Response::new(ListLineResponse { rows: page.rows, next_token: page.next.into() }))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let token = request.into_inner().token;
        let (from, lagged) = match token.is_empty() {
            true => (self.feed.end(), 0),
            false => match self.feed.position(&token) {
                Some(Position::At(number)) => (number, 0),
                // At least one, since nobody can know how many.
                Some(Position::Unknown) => (self.feed.end(), 1),
                None => {
                    return Err(Status::invalid_argument(
                        "token is none that this service gave; leave it empty",
                    ));
                }
            },
        };
        let (send, receive) = mpsc::channel(FEED_AHEAD);
        self.lifecycle.spawn("feed", tell(self.feed.clone(), from, lagged, send, self.lifecycle.clone()));
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

/// Sends the feed from `from` on until the reader is gone or the service drains.
async fn tell(
    feed: Arc<Feed>,
    mut from: u64,
    lagged: u64,
    send: mpsc::Sender<Result<SubscribeResponse, Status>>,
    lifecycle: Lifecycle,
) {
    let mut written = feed.written();
    let live = SubscribeResponse { rows: Vec::new(), token: feed.token(from).into(), lagged };
    let mut next = Some(live);
    loop {
        if let Some(message) = next.take() {
            tokio::select! {
                sent = send.send(Ok(message)) => if sent.is_err() { return },
                () = lifecycle.drain.cancelled() => return,
            }
        }
        tokio::select! {
            _ = written.wait_for(|end| *end > from) => {}
            () = send.closed() => return,
            () = lifecycle.drain.cancelled() => return,
        }
        // A full message need not wait for more.
        if feed.end() - from < FEED_ROWS as u64 {
            tokio::time::sleep(FEED_GATHER).await;
        }
        let part = feed.read(from, FEED_ROWS);
        from = part.next;
        let rows = part.rows.iter().map(|row| Row::clone(row)).collect();
        next = Some(SubscribeResponse { rows, token: feed.token(from).into(), lagged: part.lagged });
    }
}

fn range(request: ListLineRequest) -> Result<LineRange, Invalid> {
    let bound =
        |field, at: Option<prost_types::Timestamp>, open| at.map_or(Ok(open), |at| time::from_pb(field, at));
    Ok(LineRange {
        site: Site::parse(&request.site)?,
        line: Line::parse(&request.line)?,
        from: bound("from", request.from, Timestamp::MIN)?,
        to: bound("to", request.to, Timestamp::MAX)?,
        limit: usize::try_from(rows(request.limit)?).unwrap_or(usize::MAX),
        token: request.token.into(),
    })
}

fn rows(asked: u32) -> Result<u32, Invalid> {
    match asked {
        0 => Ok(DEFAULT_ROWS),
        n if ROWS.contains(&n) => Ok(n),
        n => Err(Invalid::field("limit", n, format!("{} to {}", ROWS.start(), ROWS.end()))),
    }
}

fn limit(asked: u32) -> Result<usize, Status> {
    rows(asked).map(|n| n as usize).map_err(invalid)
}

// By value, to stand in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn invalid(error: Invalid) -> Status {
    Status::invalid_argument(error.to_string())
}

impl<S: Store> ovomesh_bootstrap::Status for Service<S> {
    fn ready(&self) -> bool {
        true
    }

    fn backlog(&self) -> u64 {
        self.stage.load().outstanding
    }

    fn oldest(&self) -> Option<Duration> {
        self.stage.load().oldest
    }

    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("rows since the start".into(), self.feed.end().to_string())])
    }
}
