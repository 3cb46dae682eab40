//! The gRPC surface of query.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use ovomesh_api::pb::query::v1::query_service_server::QueryService;
use ovomesh_api::pb::query::v1::{
    GetEggRequest, GetEggResponse, GetScanRequest, GetScanResponse, ListScansRequest, ListScansResponse,
    WatchRequest, WatchResponse,
};
use ovomesh_api::pb::store::v1 as store;
use ovomesh_api::{EggId, Invalid, Line, ScanId, Site, time};
use ovomesh_mesh::Lifecycle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::Store;
use crate::filter::Wanted;
use crate::live::Live;
use crate::{token, watch};

/// Rows of a page.
const PAGE: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Rows of a page when none are asked for.
const DEFAULT_PAGE: u32 = 100;
/// Rows of an egg: nobody scans one more often.
const EGG_ROWS: u32 = 1_000;
/// Reads of the store for one page of a narrow filter; then the page is handed over as it is.
const READS: usize = 10;
/// Messages that wait for a watcher.
const WATCH_AHEAD: usize = 4;

/// Answers questions.
#[derive(Clone)]
pub struct Service {
    /// Whom it asks.
    pub store: Store,
    /// What is happening.
    pub live: Live,
    /// Watchers are its tasks.
    pub lifecycle: Lifecycle,
}

#[tonic::async_trait]
impl QueryService for Service {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn get_egg(&self, request: Request<GetEggRequest>) -> Result<Response<GetEggResponse>, Status> {
        let egg_id = EggId::parse(&request.into_inner().egg_id).map_err(invalid)?;
        let ask = store::ListEggRequest { egg_id: egg_id.to_string(), limit: EGG_ROWS };
        let rows = self.store.clone().list_egg(ask).await.map_err(from_store)?.into_inner().rows;
        if rows.is_empty() {
            return Err(Status::not_found(format!("egg {egg_id} has no stored scan")));
        }
        Ok(Response::new(GetEggResponse { rows }))
    }

    async fn get_scan(&self, request: Request<GetScanRequest>) -> Result<Response<GetScanResponse>, Status> {
        let scan_id = ScanId::parse(&request.into_inner().scan_id).map_err(invalid)?.to_string();
        let found =
            self.store.clone().get_scan(store::GetScanRequest { scan_id }).await.map_err(from_store)?;
        Ok(Response::new(GetScanResponse { row: found.into_inner().row }))
    }

    async fn list_scans(
        &self,
        request: Request<ListScansRequest>,
    ) -> Result<Response<ListScansResponse>, Status> {
        let (wanted, mut ask) = page(request.into_inner(), Timestamp::now()).map_err(invalid)?;
        let size = ask.limit as usize;
        let mut rows = Vec::new();
        for _ in 0..READS {
            let read = self.store.clone().list_line(ask.clone()).await.map_err(from_store)?.into_inner();
            rows.extend(read.rows.into_iter().filter(|row| wanted.keeps(row)));
            ask.token = read.next_token;
            // What is still missing of the page, so that no row is read and then left out.
            ask.limit = u32::try_from(size.saturating_sub(rows.len())).unwrap_or(0);
            if ask.token.is_empty() || ask.limit == 0 {
                break;
            }
        }
        Ok(Response::new(ListScansResponse { rows, next_page_token: token::to_text(&ask.token) }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let WatchRequest { site, line, filter, resume_token } = request.into_inner();
        let wanted = Wanted::at(site, line, filter).map_err(invalid)?;
        let token = token::from_text("resume_token", &resume_token).map_err(invalid)?;
        let (send, receive) = mpsc::channel(WATCH_AHEAD);
        let lifecycle = self.lifecycle.clone();
        if token.is_empty() {
            let steps = self.live.watch();
            self.lifecycle.spawn("watch", watch::from_now(wanted, steps, send, lifecycle));
        } else {
            self.lifecycle
                .spawn("watch", watch::from_token(wanted, self.store.clone(), token, send, lifecycle));
        }
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

/// What to ask the store for a page.
fn page(request: ListScansRequest, now: Timestamp) -> Result<(Wanted, store::ListLineRequest), Invalid> {
    let site = Site::parse(&request.site)?.to_string();
    let line = Line::parse(&request.line)?.to_string();
    let to = request.to.map_or(Ok(now), |at| time::from_pb("to", at))?;
    let hour_before =
        || to.checked_sub(1.hour()).map_err(|_| Invalid::field("to", to, "a time an hour after year 1"));
    let from = request.from.map_or_else(hour_before, |at| time::from_pb("from", at))?;
    if from > to {
        return Err(Invalid::field("from", from, format!("at most `to`, which is {to}")));
    }
    let limit = match request.page_size {
        0 => DEFAULT_PAGE,
        n if PAGE.contains(&n) => n,
        n => return Err(Invalid::field("page_size", n, format!("{} to {}", PAGE.start(), PAGE.end()))),
    };
    let token = token::from_text("page_token", &request.page_token)?.into();
    let wanted = Wanted::anywhere(request.filter)?;
    let (from, to) = (Some(time::to_pb(from)), Some(time::to_pb(to)));
    Ok((wanted, store::ListLineRequest { site, line, from, to, limit, token }))
}

// By value, to stand in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn invalid(error: Invalid) -> Status {
    Status::invalid_argument(error.to_string())
}

/// An error of the store as the asker should hear it. A broken connection is nobody's fault but ours.
#[allow(clippy::needless_pass_by_value)]
fn from_store(status: Status) -> Status {
    match status.code() {
        tonic::Code::NotFound
        | tonic::Code::InvalidArgument
        | tonic::Code::DataLoss
        | tonic::Code::Unavailable => Status::new(status.code(), status.message()),
        _ => Status::unavailable(format!("results-store does not answer ({}); try again", status.message())),
    }
}

impl ovomesh_bootstrap::Status for Service {
    fn ready(&self) -> bool {
        true
    }

    fn backlog(&self) -> u64 {
        0
    }

    fn oldest(&self) -> Option<Duration> {
        None
    }

    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("watchers".into(), self.live.watchers().to_string())])
    }
}
