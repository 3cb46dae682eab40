//! The gRPC surface of query.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _};
use ovomesh_api::pb::query::v1::query_service_server::QueryService;
use ovomesh_api::pb::query::v1::{
    GetEggRequest, GetEggResponse, GetScanRequest, GetScanResponse, ListLinesRequest, ListLinesResponse,
    ListScansRequest, ListScansResponse, StoredLine, WatchRequest, WatchResponse,
};
use ovomesh_api::pb::store::v1::{self as store, ListLineRequest};
use ovomesh_api::{EggId, Fault, Invalid, ScanId, time};
use ovomesh_mesh::{Lifecycle, Peer, Quota};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Uri;
use tonic::{Request, Response, Status};

use crate::filter::{self, Wanted};
use crate::live::Live;
use crate::position::Position;
use crate::stores::Stores;
use crate::token;
use crate::watch::Watcher;

/// Rows of a page.
const PAGE: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Rows of a page when none are asked for.
const DEFAULT_PAGE: u32 = 100;
/// Rows of a page of an egg when none are asked for: few eggs are scanned more often than once or twice.
const DEFAULT_EGG_PAGE: u32 = 1_000;
/// Reads of the store for one page of a narrow filter; then the page is handed over as it is.
const READS: usize = 10;
/// Messages that wait for a watcher.
const WATCH_AHEAD: usize = 4;
/// Watchers at once: ten times what is promised, about 10 MiB of messages that wait for them.
const WATCHERS: u64 = 1_000;

#[derive(Clone)]
pub struct Service {
    stores: Stores,
    live: Arc<Live>,
    watchers: Quota,
    /// Watchers are its tasks.
    lifecycle: Lifecycle,
}

impl Service {
    /// Asks `stores`, and reads their feeds from now on.
    pub fn new(stores: Stores, lifecycle: &Lifecycle) -> Self {
        let live = Live::start(&stores, lifecycle);
        Self { stores, live, watchers: Quota::shared("watchers", WATCHERS), lifecycle: lifecycle.clone() }
    }
}

#[tonic::async_trait]
impl QueryService for Service {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn get_egg(&self, request: Request<GetEggRequest>) -> Result<Response<GetEggResponse>, Status> {
        let GetEggRequest { egg_id, site, page_size, page_token } = request.into_inner();
        EggId::parse(&egg_id).map_err(invalid)?;
        filter::site_if_any(&site).map_err(invalid)?;
        let of_site = if site.is_empty() { String::new() } else { format!(" of site {site}") };
        let limit = page_limit(page_size, DEFAULT_EGG_PAGE).map_err(invalid)?;
        let token = token::from_text("page_token", &page_token).map_err(invalid)?.into();
        let ask = store::ListEggRequest { egg_id: egg_id.clone(), site, limit, token };
        let page = self.stores.list_egg(ask).await?;
        // Rows behind a page may have gone by their age meanwhile.
        if page.rows.is_empty() && page_token.is_empty() {
            return Err(Fault::NotFound.status(format!("egg {egg_id}{of_site} has no stored scan")));
        }
        let rows = page.rows.into_iter().map(|stored| stored.answer).collect();
        Ok(Response::new(GetEggResponse { rows, next_page_token: token::to_text(&page.next) }))
    }

    async fn get_scan(&self, request: Request<GetScanRequest>) -> Result<Response<GetScanResponse>, Status> {
        let GetScanRequest { scan_id, site } = request.into_inner();
        ScanId::parse(&scan_id).map_err(invalid)?;
        filter::site_if_any(&site).map_err(invalid)?;
        let stored = self.stores.get_scan(store::GetScanRequest { scan_id, site }).await?;
        Ok(Response::new(GetScanResponse { row: Some(stored.answer) }))
    }

    async fn list_scans(
        &self,
        request: Request<ListScansRequest>,
    ) -> Result<Response<ListScansResponse>, Status> {
        let (wanted, mut ask) = page(request.into_inner(), Timestamp::now()).map_err(invalid)?;
        let size = ask.limit as usize;
        let mut rows = Vec::new();
        for _ in 0..READS {
            let read = self.stores.list_line(ask.clone()).await?;
            rows.extend(wanted.answers(&read.rows));
            ask.token = read.next;
            // What is still missing of the page, so that no row is read and then left out.
            ask.limit = u32::try_from(size.saturating_sub(rows.len())).unwrap_or(0);
            if ask.token.is_empty() || ask.limit == 0 {
                break;
            }
        }
        Ok(Response::new(ListScansResponse { rows, next_page_token: token::to_text(&ask.token) }))
    }

    async fn list_lines(
        &self,
        request: Request<ListLinesRequest>,
    ) -> Result<Response<ListLinesResponse>, Status> {
        let site = request.into_inner().site;
        if !site.is_empty() {
            filter::site(&site).map_err(invalid)?;
        }
        let found = self.stores.list_lines(site).await?;
        let lines = found.lines.into_iter().map(|stored| StoredLine { site: stored.site, line: stored.line });
        Ok(Response::new(ListLinesResponse { lines: lines.collect(), more: found.more }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let peer = Peer::of(&request);
        let WatchRequest { site, line, filter, resume_token } = request.into_inner();
        let wanted = Wanted::at(site, line, filter).map_err(invalid)?;
        let from = token::from_text("resume_token", &resume_token)
            .and_then(|token| Position::decode("resume_token", &token))
            .map_err(invalid)?;
        let place = self.watchers.one(peer)?;
        let (send, receive) = mpsc::channel(WATCH_AHEAD);
        let watcher = Watcher { wanted, live: self.live.clone(), stores: self.stores.clone(), send };
        let from = (!resume_token.is_empty()).then_some(from);
        let watching = watcher.run(from, self.lifecycle.drain.clone());
        self.lifecycle.spawn("watch", async move {
            watching.await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

/// What to ask the store for a page.
fn page(request: ListScansRequest, now: Timestamp) -> Result<(Wanted, ListLineRequest), Invalid> {
    let site = filter::site(&request.site)?.to_string();
    let line = filter::line(&request.line)?.to_string();
    let to = request.to.map_or(Ok(now), |at| time::from_pb("to", at))?;
    let hour_before =
        || to.checked_sub(1.hour()).map_err(|_| Invalid::field("to", to, "a time an hour after year 1"));
    let from = request.from.map_or_else(hour_before, |at| time::from_pb("from", at))?;
    if from > to {
        return Err(Invalid::field("from", from, format!("at most `to`, which is {to}")));
    }
    let limit = page_limit(request.page_size, DEFAULT_PAGE)?;
    let token = token::from_text("page_token", &request.page_token)?.into();
    let wanted = Wanted::anywhere(request.filter)?;
    let (from, to) = (Some(time::to_pb(from)), Some(time::to_pb(to)));
    Ok((wanted, ListLineRequest { site, line, from, to, limit, token }))
}

/// Rows of a page.
fn page_limit(asked: u32, default: u32) -> Result<u32, Invalid> {
    match asked {
        0 => Ok(default),
        n if PAGE.contains(&n) => Ok(n),
        n => Err(Invalid::field("page_size", n, format!("{} to {}", PAGE.start(), PAGE.end()))),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err wants")]
fn invalid(error: Invalid) -> Status {
    Fault::Invalid.status(error.to_string())
}

impl ovomesh_bootstrap::Status for Service {
    /// Once the store's feed was read. A store that breaks later is no reason to turn askers away: they get its error.
    fn ready(&self) -> bool {
        self.live.begun()
    }

    fn details(&self) -> BTreeMap<String, String> {
        let state = |number, uri: &Uri| match self.live.connected(number) {
            true => format!("{uri}, connected"),
            false => format!("{uri}, does not answer"),
        };
        let stores = (0..).zip(self.stores.all()).map(|(number, store)| state(number, store.uri()));
        let store = stores.collect::<Vec<_>>().join("; ");
        let watchers = self.watchers.taken();
        BTreeMap::from([("store".into(), store), ("watchers".into(), watchers.to_string())])
    }
}
