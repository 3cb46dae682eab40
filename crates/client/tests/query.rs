//! What one who asks and watches is promised, against a service that breaks.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use ovomesh_client::pb::query::v1::query_service_server::{QueryService, QueryServiceServer};
use ovomesh_client::pb::query::v1::watch_response::Message;
use ovomesh_client::pb::query::v1::{
    GetEggRequest, GetEggResponse, GetScanRequest, GetScanResponse, Lagged, ListLinesRequest,
    ListLinesResponse, ListScansRequest, ListScansResponse, Rows, WatchRequest, WatchResponse,
};
use ovomesh_client::pb::scan::v1::{self as pb, Place, Verdict};
use ovomesh_client::{Call, Connector, Error, Query, Reason, Row, WatchEvent};
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

const LIMIT: Duration = Duration::from_secs(30);

type Feed = Vec<Result<WatchResponse, Status>>;

/// Answers each call with the next of what it was given.
#[derive(Clone, Default)]
struct Service {
    eggs: Arc<Mutex<Vec<Result<GetEggResponse, Status>>>>,
    feeds: Arc<Mutex<Vec<Result<Feed, Status>>>>,
    tokens: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl QueryService for Service {
    async fn get_egg(&self, _: Request<GetEggRequest>) -> Result<Response<GetEggResponse>, Status> {
        let next = self.eggs.lock().await.pop();
        match next {
            Some(answer) => answer.map(Response::new),
            None => std::future::pending().await,
        }
    }

    async fn get_scan(&self, _: Request<GetScanRequest>) -> Result<Response<GetScanResponse>, Status> {
        Err(Status::not_found("scan a is not stored"))
    }

    async fn list_scans(&self, _: Request<ListScansRequest>) -> Result<Response<ListScansResponse>, Status> {
        Err(Status::unavailable("the store is away"))
    }

    async fn list_lines(&self, _: Request<ListLinesRequest>) -> Result<Response<ListLinesResponse>, Status> {
        Ok(Response::new(ListLinesResponse::default()))
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.tokens.lock().await.push(request.into_inner().resume_token);
        match self.feeds.lock().await.pop() {
            Some(feed) => feed.map(|feed| Response::new(stream::iter(feed).boxed())),
            None => Ok(Response::new(stream::iter([rows(&[], "end")]).chain(stream::pending()).boxed())),
        }
    }
}

async fn serve(service: &Service) -> Query {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let served = tonic::transport::Server::builder()
        .add_service(QueryServiceServer::new(service.clone()))
        .serve_with_incoming(TcpIncoming::from(listener));
    Lifecycle::new().spawn("fake query", async move { served.await.unwrap() });
    Query::connect(uri, &Connector::default()).await.unwrap()
}

fn row(site: &str, scan_id: &str, call: Call, stored: i64) -> Row {
    let at = Some(prost_types::Timestamp { seconds: stored, nanos: 0 });
    let row = pb::Row {
        scan_id: scan_id.into(),
        place: Some(Place { site: site.into(), line: "1".into(), ..Place::default() }),
        acquired_at: Some(prost_types::Timestamp::default()),
        received_at: Some(prost_types::Timestamp::default()),
        stored_at: at,
        verdict: Some(Verdict { scan_id: scan_id.into(), ..Verdict::default() }),
        ..pb::Row::default()
    };
    let mut row = Row::parse(row).unwrap();
    row.verdict.call = call;
    row
}

fn rows(rows: &[Row], token: &str) -> Result<WatchResponse, Status> {
    let message = Some(Message::Rows(Rows { rows: rows.iter().map(Into::into).collect() }));
    Ok(WatchResponse { message, resume_token: token.into() })
}

#[tokio::test]
async fn a_question_is_asked_again_while_the_service_is_away_but_not_when_it_is_wrong() {
    let service = Service::default();
    let away = || Err(Status::unavailable("the store is away"));
    service.eggs.lock().await.extend([Ok(GetEggResponse::default()), away(), away()]);
    let query = serve(&service).await;
    query.get_egg(GetEggRequest::default()).await.expect("the third try");
    let error = query.get_scan(GetScanRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::NotFound));
    assert!(error.is_final() && error.to_string().contains("scan a is not stored (NotFound)"), "{error}");
    let error = query.list_scans(ListScansRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Unavailable), "three tries, and then its own words: {error}");
}

#[tokio::test]
async fn a_question_without_an_answer_ends_at_its_deadline() {
    let service = Service::default();
    let query = serve(&service).await.with_deadline(Duration::from_millis(50));
    let asking = tokio::time::timeout(LIMIT, query.get_egg(GetEggRequest::default()));
    let error = asking.await.expect("the deadline ends it").unwrap_err();
    let is_late = matches!(error, Error::Late { .. });
    // The service's own end of the deadline may come first.
    assert!(is_late || matches!(error.code(), Some(Code::Cancelled | Code::DeadlineExceeded)), "{error}");
}

#[tokio::test]
async fn a_feed_continues_where_it_broke_and_repeats_nothing_but_what_was_decided_anew() {
    let [a, b] = [row("north", "a", Call::Female, 1), row("north", "b", Call::Male, 1)];
    let service = Service::default();
    // The last is the first.
    service.feeds.lock().await.extend([
        Ok(vec![
            rows(&[], "t2"),
            // Stored again, of another site, decided anew.
            rows(&[row("north", "b", Call::Male, 9), row("south", "b", Call::Male, 1)], "t3"),
            rows(&[row("north", "a", Call::Undecided(Reason::PoorImage, String::new()), 9)], "t4"),
            Ok(WatchResponse {
                message: Some(Message::Lagged(Lagged { rows: 7 })),
                resume_token: "t5".into(),
            }),
        ]),
        Err(Status::unavailable("not yet")),
        Ok(vec![rows(&[], "t0"), rows(&[a, b], "t1"), Err(Status::unavailable("it restarts"))]),
    ]);
    let mut feed = serve(&service).await.watch(WatchRequest::default()).await.unwrap();
    let mut said = Vec::new();
    let watching = async {
        while said.last().is_none_or(|last: &String| !last.starts_with("lagged")) {
            said.push(match feed.next().await.unwrap() {
                WatchEvent::Live => "live".to_owned(),
                WatchEvent::Broken(_) => "broken".to_owned(),
                WatchEvent::Lagged(rows) => format!("lagged {rows}"),
                WatchEvent::Rows(rows) => {
                    let name = |row: &Row| row.key().to_string();
                    rows.iter().map(name).collect::<Vec<_>>().join(" ")
                }
            });
        }
    };
    tokio::time::timeout(LIMIT, watching).await.expect("the feed continues");
    let expected = ["live", "north/a north/b", "broken", "broken", "live", "south/b", "north/a", "lagged 7"];
    assert_eq!(said, expected);
    assert_eq!(feed.resume_token(), "t5");
    assert_eq!(*service.tokens.lock().await, ["", "t1", "t1"]);
}

#[tokio::test]
async fn a_feed_that_is_refused_is_not_asked_for_again() {
    let service = Service::default();
    let refused = || Err(Status::invalid_argument("resume_token is none of ours"));
    service.feeds.lock().await.extend([refused(), Ok(vec![rows(&[], "t0")]), refused()]);
    let query = serve(&service).await;
    let error = query.watch(WatchRequest::default()).await.err().expect("it is refused");
    assert!(error.is_final(), "{error}");
    let mut feed = query.watch(WatchRequest::default()).await.unwrap();
    let error = loop {
        match tokio::time::timeout(LIMIT, feed.next()).await.expect("it ends") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(Code::InvalidArgument), "{error}");
    assert_eq!(service.tokens.lock().await.len(), 3);
}
