//! The service over the wire: what a gateway and a query get.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::store::v1::store_service_client::StoreServiceClient;
use ovomesh_api::pb::store::v1::{
    GetScanRequest, ListEggRequest, ListLineRequest, SubscribeRequest, SubscribeResponse,
};
use ovomesh_api::stages::Append;
use ovomesh_api::{ScanId, Site};
use ovomesh_bootstrap::PortConfig;
use ovomesh_bootstrap::status::pb::GetStatusRequest;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_mesh::{CallError, Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_results_store::{
    Config, EggRange, Embedded, Keep, LineRange, Outcome, Page, Record, Store, StoreError, StoredLines, run,
    serve,
};
use support::{row, with_picture};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

type Client = StoreServiceClient<Channel>;

/// A running service and its callers.
struct Running {
    address: SocketAddr,
    life: Lifecycle,
    client: Client,
    pool: StreamPool<Append>,
}

impl Running {
    async fn start<S: Store>(store: S) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let life = Lifecycle::new();
        let own = life.clone();
        life.spawn("results-store", async move {
            serve(Arc::new(store), &PortConfig::default(), listener, &own).await.unwrap();
        });
        let uri = format!("http://{address}").parse().unwrap();
        let client = Client::new(Connector::default().lazy(&uri).unwrap());
        // A failure is given to the caller, who tries again when it likes.
        let config = PoolConfig { max_attempts: 1, eject_after: 1_000, ..PoolConfig::default() };
        let pool = StreamPool::start(config, Connector::default(), discover::fixed([uri]), &life);
        Self { address, life, client, pool }
    }

    async fn embedded() -> (tempfile::TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        (folder, Self::start(store).await)
    }

    async fn append(&self, row: Row) -> Result<(), CallError> {
        let request = Request { body: row, deadline: None, traceparent: String::new() };
        timeout(LIMIT, self.pool.call(request)).await.expect("an answer").map(|_| ())
    }

    async fn subscribe(&mut self, token: impl Into<bytes::Bytes>) -> Streaming<SubscribeResponse> {
        self.client.subscribe(SubscribeRequest { token: token.into() }).await.unwrap().into_inner()
    }

    async fn end(self) {
        drop(self.pool);
        self.life.drain.cancel();
        self.life.tasks.close();
        timeout(LIMIT, self.life.tasks.wait()).await.expect("all tasks end at the drain");
    }
}

async fn next(feed: &mut Streaming<SubscribeResponse>) -> SubscribeResponse {
    timeout(LIMIT, feed.message()).await.expect("a message").unwrap().expect("the feed goes on")
}

/// Scan ids up to `count` rows, and the last token.
async fn read(feed: &mut Streaming<SubscribeResponse>, count: usize) -> (Vec<String>, bytes::Bytes) {
    let (mut ids, mut token) = (Vec::new(), bytes::Bytes::new());
    while ids.len() < count {
        let part = next(feed).await;
        assert_eq!(part.lagged, 0);
        let rows: Vec<_> = part.rows.into_iter().map(support::read).collect();
        assert!(rows.iter().all(|row| row.preview.is_none() && row.stored_at.is_some()));
        ids.extend(rows.into_iter().map(|row| row.scan_id));
        token = part.token;
    }
    (ids, token)
}

#[tokio::test]
async fn a_row_that_was_acknowledged_is_found_by_every_question() {
    let (_folder, mut store) = Running::embedded().await;
    store.append(with_picture(row("one", "egg", 5), 7)).await.unwrap();
    let client = &mut store.client;
    let found = client
        .get_scan(GetScanRequest { scan_id: "one".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .row;
    let found = support::read(found);
    assert!(found.preview.is_some() && found.stored_at.is_some());
    let rows = client
        .list_egg(ListEggRequest { egg_id: "egg".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .rows;
    assert_eq!(support::read(rows[0].clone()), Row { preview: None, ..found });
    let ask = ListLineRequest { site: "s".into(), line: "l".into(), ..Default::default() };
    assert_eq!(client.list_line(ask).await.unwrap().into_inner().rows, rows, "without bounds: all");
    store.end().await;
}

#[tokio::test]
async fn the_first_row_of_a_scan_that_its_agent_has_forgotten_stands() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    support::late::the_first_row_of_a_forgotten_scan_stands(store).await;
}

#[tokio::test]
async fn what_cannot_be_answered_or_stored_is_refused_by_name() {
    let (_folder, mut store) = Running::embedded().await;
    let error = store.append(Row { egg_id: "two words".into(), ..row("one", "", 5) }).await.unwrap_err();
    let CallError::Failed { code, message, .. } = error else { panic!("{error:?}") };
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("egg_id"), "{message}");
    store.append(row("one", "", 5)).await.expect("the stream goes on");
    let client = &mut store.client;
    let missing =
        client.get_scan(GetScanRequest { scan_id: "two".into(), ..Default::default() }).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "scan two is not stored"));
    let line = |limit, token: &'static [u8]| ListLineRequest {
        site: "s".into(),
        line: "l".into(),
        limit,
        token: token.into(),
        ..Default::default()
    };
    let refused = [
        (client.get_scan(GetScanRequest::default()).await.unwrap_err(), "scan_id is missing"),
        (client.list_egg(ListEggRequest::default()).await.unwrap_err(), "egg_id is missing"),
        (client.list_line(ListLineRequest::default()).await.unwrap_err(), "place.site is missing"),
        (client.list_line(line(1_001, b"")).await.unwrap_err(), "limit is 1001; it must be 1 to 1000"),
        (client.list_line(line(1, b"nonsense")).await.unwrap_err(), "token"),
        (client.subscribe(SubscribeRequest { token: "nonsense".into() }).await.unwrap_err(), "token"),
    ];
    for (status, text) in refused {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(text), "{} should say: {text}", status.message());
    }
    store.end().await;
}

#[tokio::test]
async fn the_feed_has_each_stored_row_once_and_goes_on_from_a_token() {
    let (_folder, mut store) = Running::embedded().await;
    store.append(row("before", "", 1)).await.unwrap();
    let mut feed = store.subscribe("").await;
    let live = next(&mut feed).await;
    assert!(live.rows.is_empty() && !live.token.is_empty(), "the first message says that the feed is live");
    for n in 0..5 {
        store.append(with_picture(row(&format!("{n}"), "", n), 1)).await.unwrap();
    }
    assert_eq!(read(&mut feed, 5).await.0, ["0", "1", "2", "3", "4"]);
    drop(feed);
    for n in 5..8 {
        store.append(row(&format!("{n}"), "", n)).await.unwrap();
    }
    let mut again = store.subscribe(live.token).await;
    assert_eq!(read(&mut again, 8).await.0, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    store.end().await;
    assert!(
        matches!(timeout(LIMIT, again.message()).await, Ok(Ok(None) | Err(_))),
        "a feed ends at the drain"
    );
}

#[tokio::test]
async fn a_reader_of_another_process_s_feed_is_told_that_it_may_have_missed_rows() {
    let (_folder, mut store) = Running::embedded().await;
    let (_other_folder, mut other) = Running::embedded().await;
    let token = next(&mut other.subscribe("").await).await.token;
    let first = next(&mut store.subscribe(token).await).await;
    assert!(first.rows.is_empty() && first.lagged >= 1);
    store.end().await;
    other.end().await;
}

/// A store whose disk can be broken.
struct Failing {
    inner: Embedded,
    broken: Arc<AtomicBool>,
    batches: Arc<AtomicUsize>,
}

impl Store for Failing {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Outcome>, StoreError> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            let reason = std::io::Error::from_raw_os_error(5).to_string();
            return Err(StoreError::Unavailable { store: "/data".into(), reason });
        }
        self.inner.append(records).await
    }

    async fn get_scan(
        &self,
        scan_id: ScanId,
        site: Option<Site>,
    ) -> Result<Option<bytes::Bytes>, StoreError> {
        self.inner.get_scan(scan_id, site).await
    }

    async fn list_egg(&self, range: EggRange) -> Result<Page, StoreError> {
        self.inner.list_egg(range).await
    }

    async fn list_line(&self, range: LineRange) -> Result<Page, StoreError> {
        self.inner.list_line(range).await
    }

    async fn list_lines(&self, site: Option<Site>, limit: usize) -> Result<StoredLines, StoreError> {
        self.inner.list_lines(site, limit).await
    }
}

#[tokio::test]
async fn a_disk_that_fails_is_told_as_unavailable_and_nothing_is_acknowledged_until_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let (broken, batches) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let inner = Embedded::open(folder.path()).unwrap();
    let mut store = Running::start(Failing { inner, broken: broken.clone(), batches }).await;
    let mut feed = store.subscribe("").await;
    next(&mut feed).await;
    for _ in 0..3 {
        let error = store.append(row("one", "", 1)).await.unwrap_err();
        let CallError::Failed { code, message, .. } = error else { panic!("{error:?}") };
        assert_eq!(code, Code::Unavailable);
        assert!(message.contains("/data") && message.contains("os error 5"), "{message}");
    }
    let missing = store
        .client
        .get_scan(GetScanRequest { scan_id: "one".into(), ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    broken.store(false, Ordering::Relaxed);
    store.append(row("two", "", 1)).await.expect("it works again");
    assert_eq!(read(&mut feed, 1).await.0, ["two"], "what was not stored is not told");
    store.end().await;
}

#[tokio::test]
async fn rows_that_come_together_are_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let (broken, batches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let inner = Embedded::open(folder.path()).unwrap();
    let store = Running::start(Failing { inner, broken, batches: batches.clone() }).await;
    let rows = (0..300).map(|n| store.append(row(&format!("{n}"), "", n)));
    for answer in futures::future::join_all(rows).await {
        answer.unwrap();
    }
    let batches = batches.load(Ordering::Relaxed);
    assert!(batches < 100, "{batches} batches for 300 rows that were sent at once");
    store.end().await;
}

#[tokio::test]
async fn what_was_acknowledged_before_a_drain_is_there_after_it() {
    let (folder, store) = Running::embedded().await;
    let drain = store.life.drain.clone();
    let append = |n| {
        let (store, drain, id) = (&store, &drain, format!("{n:03}"));
        async move {
            let stored = store.append(row(&id, "", n)).await.is_ok();
            if n == 100 {
                drain.cancel();
            }
            stored.then_some(id)
        }
    };
    let acknowledged = futures::future::join_all((0..300).map(append)).await;
    store.end().await;
    let found = support::all(&Embedded::open(folder.path()).unwrap()).await;
    for id in acknowledged.iter().flatten() {
        assert!(found.contains(id), "{id} was acknowledged");
    }
    assert!(acknowledged[100].is_some());
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_told_so() {
    let (folder, store) = Running::embedded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::in_folder(folder.path());
    let error = run(config, listener, Lifecycle::new()).await.unwrap_err().to_string();
    assert!(error.contains(folder.path().to_str().unwrap()) && error.contains("--data"), "{error}");
    store.end().await;
}

#[tokio::test]
async fn it_counts_rows_batches_and_their_time() {
    let (_folder, store) = Running::embedded().await;
    store.append(row("one", "", 1)).await.unwrap();
    let text = http_get(store.address, "/metrics").await;
    for name in
        ["ovomesh_store_rows_total", "ovomesh_store_batch_size_bucket", "ovomesh_store_commit_seconds_bucket"]
    {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
    store.end().await;
}

#[tokio::test]
async fn it_says_how_much_disk_it_uses_and_since_when_rows_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep { bytes: Some(5 << 30), check: Duration::from_millis(5), ..Keep::default() };
    let store = Running::start(Embedded::keeping(folder.path(), &keep).unwrap()).await;
    let used = async || {
        let text = http_get(store.address, "/metrics").await;
        let value = |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Some((value("ovomesh_store_disk_used_bytes")?, value("ovomesh_store_kept_since_seconds")?))
    };
    let begun = std::time::Instant::now();
    let (bytes, since) = loop {
        if let Some(used) = used().await {
            break used;
        }
        assert!(begun.elapsed() < LIMIT, "it looks at its folder");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!(bytes > 0.0 && (now - 600.0..=now).contains(&since), "{bytes} bytes since {since}");
    let channel = Connector::default().lazy(&format!("http://{}", store.address).parse().unwrap()).unwrap();
    let mut status = StatusServiceClient::new(channel);
    let facts = status.get_status(GetStatusRequest {}).await.unwrap().into_inner().details;
    assert!(facts["disk used"].ends_with(" of 5.00 GiB"), "{facts:?}");
    assert!(facts["rows kept since"].parse::<jiff::Timestamp>().is_ok(), "{facts:?}");
    store.end().await;
}

async fn http_get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(LIMIT, stream.read_to_string(&mut text)).await.expect("an answer").unwrap();
    text
}
