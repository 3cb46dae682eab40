//! The gRPC surface of results-store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::store::v1::store_service_server::StoreService;
use ovomesh_api::pb::store::v1::{
    AppendRequest, Appended, GetScanRequest, GetScanResponse, ListEggRequest, ListEggResponse,
    ListLineRequest, ListLineResponse, ListLinesRequest, ListLinesResponse, StoredLine, SubscribeRequest,
    SubscribeResponse,
};
use ovomesh_api::stages::Append;
use ovomesh_api::{EggId, Invalid, LineId, ScanId, Site, time};
use ovomesh_mesh::{Done, Lifecycle, Load, Peer, Quota, ResponseStream, StageError, StageServer, Work};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::StoreError;
use crate::committer::Committer;
use crate::feed::{Feed, Position};
use crate::store::{EggRange, LineRange, Store};
use crate::subscriber::{self, Subscriber};

/// Rows of a page or list.
const ROWS: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Rows when none are asked for.
const DEFAULT_ROWS: usize = 100;
/// Lines of an answer: ten times the sites that the mesh is made for. A line is 150 bytes at most.
const LINES: usize = 10_000;
/// Readers of the feed at once: queries, of which a mesh has a few, and those of their watchers that catch up.
const READERS: u64 = 128;

pub struct Service<S> {
    store: Arc<S>,
    stage: StageServer<Append>,
    feed: Arc<Feed>,
    /// Feeds are its tasks.
    lifecycle: Lifecycle,
    /// Room for readers of the feed.
    readers: Quota,
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            stage: self.stage.clone(),
            feed: self.feed.clone(),
            lifecycle: self.lifecycle.clone(),
            readers: self.readers.clone(),
        }
    }
}

impl<S> Service<S> {
    /// Reads from `store`, writes through `stage`, reports to `feed`.
    pub fn new(store: Arc<S>, stage: StageServer<Append>, feed: Arc<Feed>, lifecycle: Lifecycle) -> Self {
        Self { store, stage, feed, lifecycle, readers: Quota::shared("readers of the feed", READERS) }
    }
}

/// One row through the committer.
pub async fn append(committer: Committer, work: Work<Row>) -> Result<Done<Appended>, StageError> {
    let begun = Instant::now();
    let body = Appended { stored_at: Some(time::to_pb(committer.append(work.body).await?)) };
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
        Ok(Response::new(self.stage.accept(request)?))
    }

    async fn get_scan(&self, request: Request<GetScanRequest>) -> Result<Response<GetScanResponse>, Status> {
        let request = request.into_inner();
        let scan_id = ScanId::parse(&request.scan_id).map_err(StoreError::from)?;
        let site = site(&request.site).map_err(StoreError::from)?;
        let of_site = site.as_ref().map(|site| format!(" of site {site}")).unwrap_or_default();
        match self.store.get_scan(scan_id.clone(), site).await? {
            Some(row) => Ok(Response::new(GetScanResponse { row })),
            None => Err(Status::not_found(format!("scan {scan_id}{of_site} is not stored"))),
        }
    }

    async fn list_egg(&self, request: Request<ListEggRequest>) -> Result<Response<ListEggResponse>, Status> {
        let request = request.into_inner();
        let egg_id = EggId::parse(&request.egg_id).map_err(StoreError::from)?;
        let site = site(&request.site).map_err(StoreError::from)?;
        let limit = limit(request.limit).map_err(StoreError::from)?;
        let range = EggRange::new(egg_id, site, limit, &request.token).map_err(StoreError::from)?;
        let page = self.store.list_egg(range).await?;
        Ok(Response::new(ListEggResponse { rows: page.rows, next_token: page.next.into() }))
    }

    async fn list_line(
        &self,
        request: Request<ListLineRequest>,
    ) -> Result<Response<ListLineResponse>, Status> {
        let page = self.store.list_line(range(request.into_inner()).map_err(StoreError::from)?).await?;
        Ok(Response::new(ListLineResponse { rows: page.rows, next_token: page.next.into() }))
    }

    async fn list_lines(
        &self,
        request: Request<ListLinesRequest>,
    ) -> Result<Response<ListLinesResponse>, Status> {
        let site = request.into_inner().site;
        let site = (!site.is_empty()).then(|| Site::parse(&site)).transpose().map_err(StoreError::from)?;
        let found = self.store.list_lines(site, LINES).await?;
        let stored = |id: LineId| StoredLine { site: id.site.to_string(), line: id.line.to_string() };
        let lines = found.lines.into_iter().map(stored).collect();
        Ok(Response::new(ListLinesResponse { lines, more: found.more }))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let peer = Peer::of(&request);
        let token = request.into_inner().token;
        let (from, lagged) = match token.is_empty() {
            true => (self.feed.end(), 0),
            false => match self.feed.position(&token) {
                Some(Position::At(number)) => (number, 0),
                // At least one, since nobody can know how many.
                Some(Position::Unknown) => (self.feed.end(), 1),
                None => {
                    let limit = "a token that this service gave, or empty";
                    return Err(StoreError::from(Invalid::field("token", "something else", limit)).into());
                }
            },
        };
        let reader = self.readers.one(peer)?;
        let (send, receive) = mpsc::channel(subscriber::AHEAD);
        let drain = self.lifecycle.drain.clone();
        let subscriber = Subscriber { feed: self.feed.clone(), from, lagged, send, drain };
        self.lifecycle.spawn("feed", async move {
            subscriber.run().await;
            drop(reader);
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

fn range(request: ListLineRequest) -> Result<LineRange, Invalid> {
    let bound =
        |field, at: Option<prost_types::Timestamp>, open| at.map_or(Ok(open), |at| time::from_pb(field, at));
    Ok(LineRange {
        line: LineId::parse(&request.site, &request.line)?,
        from: bound("from", request.from, Timestamp::MIN)?,
        to: bound("to", request.to, Timestamp::MAX)?,
        limit: limit(request.limit)?,
        token: request.token.into(),
    })
}

/// The site of a question that may leave it open.
fn site(text: &str) -> Result<Option<Site>, Invalid> {
    if text.is_empty() { Ok(None) } else { Site::parse(text).map(Some) }
}

fn limit(asked: u32) -> Result<usize, Invalid> {
    match asked {
        0 => Ok(DEFAULT_ROWS),
        n if ROWS.contains(&n) => Ok(n as usize),
        n => Err(Invalid::field("limit", n, format!("{} to {}", ROWS.start(), ROWS.end()))),
    }
}

impl<S: Store> ovomesh_bootstrap::Status for Service<S> {
    /// While rows can be stored. One that arrives anyway waits a little and is then refused for now.
    fn ready(&self) -> bool {
        self.store.trouble().is_none()
    }

    fn load(&self) -> Load {
        self.stage.load()
    }

    fn details(&self) -> BTreeMap<String, String> {
        let readers = self.readers.taken();
        let own = [
            ("rows since the start", self.feed.end().to_string()),
            ("readers of the feed", readers.to_string()),
        ];
        self.store.details().into_iter().chain(own).map(|(name, fact)| (name.to_owned(), fact)).collect()
    }
}
