//! A query service over a few rows.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use ovomesh_api::pb::query::v1::query_service_server::{QueryService, QueryServiceServer};
use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{
    GetEggRequest, GetEggResponse, GetScanRequest, GetScanResponse, Lagged, ListLinesRequest,
    ListLinesResponse, ListScansRequest, ListScansResponse, Rows, StoredLine, WatchRequest, WatchResponse,
};
use ovomesh_api::pb::scan::v1::{self as pb, Call, Place, Preview, Timings, Verdict};
use ovomesh_api::{EncodedRow, Reason, Row, Site};
use ovomesh_bootstrap::Lifecycle;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

pub struct Query {
    pub url: String,
    watched: Arc<Mutex<Vec<String>>>,
    lifecycle: Lifecycle,
}

impl Query {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (watched, lifecycle) = (Arc::default(), Lifecycle::new());
        let service = Service { watched: Arc::clone(&watched) };
        let served = tonic::transport::Server::builder()
            .add_service(QueryServiceServer::new(service))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                lifecycle.drain.clone().cancelled_owned(),
            );
        lifecycle.spawn("fake query", async move { served.await.unwrap() });
        Self { url, watched, lifecycle }
    }

    /// The resume tokens with which a feed was asked for.
    pub fn watched(&self) -> Vec<String> {
        self.watched.lock().clone()
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.lifecycle.drain.cancel();
    }
}

/// Row number `n` of the line.
fn row(n: u32) -> Row {
    let call = [Call::Female, Call::Male, Call::NoEmbryo, Call::Undecided][n as usize % 4];
    let row = pb::Row {
        scan_id: format!("scan-{n}"),
        egg_id: format!("egg-{n}"),
        place: Some(Place { site: "north".into(), line: "1".into(), tray_run: String::new(), slot: n }),
        acquired_at: Some(prost_types::Timestamp { seconds: 1_795_510_800 + i64::from(n), nanos: 0 }),
        received_at: Some(prost_types::Timestamp { seconds: 1_795_510_801 + i64::from(n), nanos: 0 }),
        verdict: Some(Verdict {
            scan_id: format!("scan-{n}"),
            call: call.into(),
            p_female: Some(0.5),
            timings: Some(Timings { total_us: 5_000, inference_us: 4_000, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    Row::parse(row).unwrap()
}

/// Rows of the line.
const ROWS: u32 = 2_500;

struct Service {
    watched: Arc<Mutex<Vec<String>>>,
}

/// What two sites have.
fn of_two(what: &str, id: &str, site: &str) -> Result<EncodedRow, Status> {
    if site.is_empty() {
        let text =
            format!("{what} {id} is known at more than one site: north, south; ask for it with its site");
        return Err(Status::failed_precondition(text));
    }
    let mut row = row(7);
    row.meta.place.line_id.site = Site::parse(site).unwrap();
    Ok(EncodedRow::from(&row))
}

/// Scans of `egg-of-many`: more than two pages.
const SCANS_OF_MANY: u32 = 2_100;

#[tonic::async_trait]
impl QueryService for Service {
    async fn get_egg(&self, request: Request<GetEggRequest>) -> Result<Response<GetEggResponse>, Status> {
        let GetEggRequest { egg_id, site, page_size, page_token } = request.into_inner();
        let only = |row| GetEggResponse { rows: vec![row], next_page_token: String::new() };
        match egg_id.as_str() {
            "egg-7" => Ok(Response::new(only(EncodedRow::from(&row(7))))),
            "egg-of-two" => of_two("egg", &egg_id, &site).map(|row| Response::new(only(row))),
            "egg-of-many" => {
                let from = page_token.parse().unwrap_or(0);
                let to = SCANS_OF_MANY.min(from + page_size);
                let rows = (from..to).map(|n| EncodedRow::from(&row(n))).collect();
                let next_page_token = if to < SCANS_OF_MANY { to.to_string() } else { String::new() };
                Ok(Response::new(GetEggResponse { rows, next_page_token }))
            }
            other => Err(Status::not_found(format!("no scan of egg {other} is stored"))),
        }
    }

    async fn get_scan(&self, request: Request<GetScanRequest>) -> Result<Response<GetScanResponse>, Status> {
        let GetScanRequest { scan_id, site } = request.into_inner();
        match scan_id.as_str() {
            "of-two" => {
                of_two("scan", &scan_id, &site).map(|row| Response::new(GetScanResponse { row: Some(row) }))
            }
            "scan-7" => {
                let preview =
                    Preview { columns: 8, rows: 8, pixels: vec![0x7f; 32].into(), ..Default::default() };
                let row = Row { preview: Some(preview), ..row(7) };
                Ok(Response::new(GetScanResponse { row: Some(EncodedRow::from(&row)) }))
            }
            // What a stranger wrote.
            "with-escapes" => {
                let mut row = row(7);
                let detail = "no gonads\r\nscan 8\u{202e}";
                row.verdict.call = ovomesh_api::Call::Undecided(Reason::LowConfidence, detail.into());
                Ok(Response::new(GetScanResponse { row: Some(EncodedRow::from(&row)) }))
            }
            other => Err(Status::not_found(format!("scan {other} is not stored"))),
        }
    }

    async fn list_scans(
        &self,
        request: Request<ListScansRequest>,
    ) -> Result<Response<ListScansResponse>, Status> {
        let asked = request.into_inner();
        if asked.site == "south"
            || asked.from.is_none()
            || asked.to.is_none()
            || !(1..=1_000).contains(&asked.page_size)
        {
            return Err(Status::invalid_argument(format!("{asked:?}")));
        }
        if (asked.site.as_str(), asked.line.as_str()) != ("north", "1") {
            return Ok(Response::new(ListScansResponse::default()));
        }
        let from: u32 = if asked.page_token.is_empty() { 0 } else { asked.page_token.parse().unwrap() };
        let to = ROWS.min(from + asked.page_size);
        let calls = asked.filter.unwrap_or_default().calls;
        let kept = |row: &Row| calls.is_empty() || calls.contains(&row.verdict.call.to_pb().into());
        let next_page_token = if to < ROWS { to.to_string() } else { String::new() };
        Ok(Response::new(ListScansResponse {
            rows: (from..to).map(row).filter(kept).map(|row| EncodedRow::from(&row)).collect(),
            next_page_token,
        }))
    }

    async fn list_lines(
        &self,
        request: Request<ListLinesRequest>,
    ) -> Result<Response<ListLinesResponse>, Status> {
        let site = request.into_inner().site;
        let all = (1..=8)
            .map(|n| ("sim", format!("line-{n}")))
            .chain([("north", "1".into()), ("north", "2".into())]);
        let lines = all.map(|(site, line)| StoredLine { site: site.into(), line });
        let lines = lines.filter(|line| site.is_empty() || line.site == site).collect();
        Ok(Response::new(ListLinesResponse { lines, more: false }))
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    /// The first feed breaks after a row; the one that goes on from there tells of a gap, and stays.
    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let token = request.into_inner().resume_token;
        self.watched.lock().push(token.clone());
        let rows =
            |n: &[u32]| Message::Rows(Rows { rows: n.iter().map(|&n| EncodedRow::from(&row(n))).collect() });
        let say =
            |message, token: &str| Ok(WatchResponse { message: Some(message), resume_token: token.into() });
        let feed: Self::WatchStream = match token.as_str() {
            "" => Box::pin(stream::iter([
                say(rows(&[]), "t0"),
                say(rows(&[1]), "t1"),
                Err(Status::unavailable("this query service is leaving")),
            ])),
            "t1" => {
                let lagged = say(Message::Lagged(Lagged { rows: 12 }), "t2");
                let more = stream::iter([lagged, say(rows(&[2, 3]), "t3")]);
                Box::pin(futures::StreamExt::chain(more, stream::pending()))
            }
            other => return Err(Status::invalid_argument(format!("token {other}"))),
        };
        Ok(Response::new(feed))
    }
}
