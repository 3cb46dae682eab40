//! A real results-store and a real query in this process.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{WatchRequest, WatchResponse};
use ovomesh_api::pb::scan::v1::{Call, Place, Preview, Purpose, Row, Verdict};
use ovomesh_api::stages::Append;
use ovomesh_api::{EncodedRow, time};
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use tokio::net::TcpListener;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// What a test waits for at most.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A store that runs, and who writes to it.
pub struct Store {
    pub address: SocketAddr,
    lifecycle: Lifecycle,
    pool: StreamPool<Append>,
    writer: Lifecycle,
}

/// Starts a store on `folder`, at `address` when it must be the same again.
pub async fn store(folder: &std::path::Path, address: Option<SocketAddr>) -> Store {
    let listener = TcpListener::bind(address.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
    let (address, lifecycle) = (listener.local_addr().unwrap(), Lifecycle::new());
    let config = ovomesh_results_store::Config::in_folder(folder);
    let running = ovomesh_results_store::run(config, listener, lifecycle.clone());
    lifecycle.spawn("store", async { running.await.unwrap() });
    let writer = Lifecycle::new();
    let uris = discover::fixed([format!("http://{address}").parse().unwrap()]);
    let pool = StreamPool::start(PoolConfig::default(), Connector::default(), uris, &writer);
    Store { address, lifecycle, pool, writer }
}

impl Store {
    /// Stores rows, side by side; they are durable when it comes back.
    pub async fn append(&self, rows: impl IntoIterator<Item = Row>) {
        let calls = rows.into_iter().map(|row| {
            let pool = self.pool.clone();
            async move {
                pool.call(Request { body: row, deadline: None, traceparent: String::new() }).await.unwrap();
            }
        });
        tokio::time::timeout(LIMIT, futures::future::join_all(calls)).await.expect("rows are stored in time");
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        for life in [self.writer, self.lifecycle] {
            life.drain.cancel();
            life.tasks.close();
            tokio::time::timeout(LIMIT, life.tasks.wait()).await.expect("the store ends");
        }
    }
}

/// A query that runs.
pub struct Query {
    pub client: QueryServiceClient<Channel>,
    pub url: String,
    pub life: Lifecycle,
}

/// Starts a query for the store at `store` and waits until it has read its feed, if `ready`.
pub async fn query(store: SocketAddr, ready: bool) -> Query {
    query_of(&[store], ready).await
}

/// The same for several stores.
pub async fn query_of(stores: &[SocketAddr], ready: bool) -> Query {
    let stores = stores.iter().map(|store| format!("http://{store}").parse().unwrap()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, life) = (format!("http://{}", listener.local_addr().unwrap()), Lifecycle::new());
    let config = ovomesh_query::Config { stores, ..ovomesh_query::Config::default() };
    let running = ovomesh_query::run(config, listener, life.clone());
    life.spawn("query", async { running.await.unwrap() });
    let client = QueryServiceClient::new(connect(&url, None).await);
    if ready {
        // A watch begins when there is a feed.
        let begun = next(&mut watch(&client, WatchRequest::default()).await).await;
        assert_eq!(begun.0, Ok(Vec::new()));
    }
    Query { client, url, life }
}

impl Query {
    /// A client with a connection of its own that takes no more than `window` bytes ahead.
    pub async fn narrow(&self, window: u32) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(connect(&self.url, Some(window)).await)
    }
}

async fn connect(url: &str, window: Option<u32>) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap().initial_stream_window_size(window);
    endpoint.connect().await.unwrap()
}

pub async fn watch(client: &QueryServiceClient<Channel>, request: WatchRequest) -> Streaming<WatchResponse> {
    client.clone().watch(request).await.unwrap().into_inner()
}

/// The next message of a watch: its rows' scan ids or how many are missing, and its token.
pub async fn next(watch: &mut Streaming<WatchResponse>) -> (Result<Vec<String>, u64>, String) {
    let message = tokio::time::timeout(LIMIT, watch.message()).await.expect("a message in time");
    let WatchResponse { message, resume_token } = message.unwrap().expect("the watch goes on");
    let ids = match message.unwrap() {
        Message::Rows(rows) => Ok(rows.rows.iter().map(|row| read(row).scan_id).collect()),
        Message::Lagged(lagged) => Err(lagged.rows),
    };
    (ids, resume_token)
}

/// An answered row, field by field.
pub fn read(answer: &EncodedRow) -> Row {
    answer.parse().expect("a row").to_pb()
}

/// Reads until `count` rows came; the token of the last message. Must not lag.
pub async fn rows(watch: &mut Streaming<WatchResponse>, count: usize) -> (Vec<String>, String) {
    let (mut ids, mut last) = (Vec::new(), String::new());
    while ids.len() < count {
        let (found, token) = next(watch).await;
        ids.extend(found.expect("nothing is left out"));
        last = token;
    }
    (ids, last)
}

/// `second` seconds after 2026 began.
pub fn at(second: i64) -> Timestamp {
    Timestamp::constant(1_767_225_600, 0) + second.seconds()
}

/// A row of line 1 of site `north`, with a picture: even ones female, odd ones male; every tenth a test.
pub fn row(n: i64) -> Row {
    let scan_id = format!("scan-{n:05}");
    let call = if n % 2 == 0 { Call::Female } else { Call::Male };
    let purpose = if n % 10 == 0 { Purpose::Test } else { Purpose::Production };
    Row {
        egg_id: format!("egg-{}", n / 2),
        place: Some(Place {
            site: "north".into(),
            line: "1".into(),
            tray_run: format!("tray-{}", n / 50),
            slot: 1,
        }),
        purpose: purpose.into(),
        acquired_at: Some(time::to_pb(at(n))),
        received_at: Some(time::to_pb(at(n))),
        verdict: Some(Verdict { scan_id: scan_id.clone(), call: call.into(), ..Default::default() }),
        preview: Some(Preview { columns: 2, rows: 1, pixels: vec![0x1f].into(), ..Default::default() }),
        scan_id,
        ..Default::default()
    }
}
