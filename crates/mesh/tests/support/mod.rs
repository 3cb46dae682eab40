//! Replicas of the echo stage over real TCP, each with a runtime of its own, so that one can die as a process does:
//! all its sockets closed, nothing said.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod echo;
pub mod raw;

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Uri;
use ovomesh_mesh::{
    CallError, Connector, Discover, Done, Lifecycle, Load, PoolConfig, Reply, Request, ServerConfig,
    StageError, StageServer, StreamPool, Work, discover,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::server::TcpIncoming;

use echo::{Body, Echo, EchoService};

type Answer = Result<Done<Body>, StageError>;
type Handler = Arc<dyn Fn(Work<Body>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// What a replica saw of a call.
#[derive(Clone, Debug)]
pub struct ReceivedCall {
    pub number: u64,
    pub alone: bool,
    pub deadline: Option<Instant>,
}

pub struct Replica {
    pub address: SocketAddr,
    pub lifecycle: Lifecycle,
    runtime: Option<Runtime>,
    seen: Arc<Mutex<Vec<ReceivedCall>>>,
    most: Arc<AtomicUsize>,
    load: Arc<dyn Fn() -> Load + Send + Sync>,
}

impl Replica {
    /// A replica on a free port.
    pub fn start<F, Fut>(config: ServerConfig, handler: F) -> Self
    where
        F: Fn(Work<Body>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self::start_at(([127, 0, 0, 1], 0).into(), config, handler)
    }

    pub fn start_at<F, Fut>(address: SocketAddr, config: ServerConfig, handler: F) -> Self
    where
        F: Fn(Work<Body>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lifecycle = Lifecycle::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handler: Handler = {
            let (seen, most) = (Arc::clone(&seen), Arc::clone(&most));
            Arc::new(move |work: Work<Body>| {
                let number = work.body.number;
                seen.lock().push(ReceivedCall { number, alone: work.alone, deadline: work.deadline });
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let now = Arc::clone(&now);
                let answer = handler(work);
                Box::pin(async move {
                    let answer = answer.await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    answer
                })
            })
        };
        let max_message_bytes = config.max_message_bytes as usize;
        let stage = StageServer::<Echo>::new(config, move |work| handler(work), &lifecycle);
        let load = {
            let stage = stage.clone();
            Arc::new(move || stage.load())
        };
        let inside = runtime.enter();
        let listener = listen(address);
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .max_frame_size(1 << 20)
            .add_service(EchoService { stage, max_message_bytes })
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                lifecycle.drain.clone().cancelled_owned(),
            );
        runtime.spawn(async move { server.await.unwrap() });
        drop(inside);
        Self { address, lifecycle, runtime: Some(runtime), seen, most, load }
    }

    pub fn uri(&self) -> Uri {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// Ends it as kill -9 would.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn drain(&self) {
        self.lifecycle.drain.cancel();
    }

    pub fn seen(&self) -> Vec<ReceivedCall> {
        self.seen.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// Most calls that it worked on at once.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub fn load(&self) -> Load {
        (self.load)()
    }
}

/// Takes a port again although the connections of its last owner linger, as tokio's own `bind` does.
fn listen(address: SocketAddr) -> tokio::net::TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1024).unwrap()
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Gives a body back.
pub fn done(body: Body) -> Answer {
    Ok(Done { body, queued: Duration::ZERO, worked: Duration::from_micros(7) })
}

pub async fn echo(work: Work<Body>) -> Answer {
    done(work.body)
}

/// Gives a body back after a while.
pub fn echo_after(delay: Duration) -> impl Fn(Work<Body>) -> BoxFuture<'static, Answer> + Send + Sync {
    move |work| {
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            done(work.body)
        })
    }
}

/// Never answers.
pub async fn never(_: Work<Body>) -> Answer {
    std::future::pending().await
}

pub fn pool<'a>(config: PoolConfig, replicas: impl IntoIterator<Item = &'a Replica>) -> StreamPool<Echo> {
    pool_in(config, replicas, &Lifecycle::new())
}

pub fn pool_in<'a>(
    config: PoolConfig,
    replicas: impl IntoIterator<Item = &'a Replica>,
    lifecycle: &Lifecycle,
) -> StreamPool<Echo> {
    let uris = discover::fixed(replicas.into_iter().map(Replica::uri));
    StreamPool::start(config, Connector::default(), uris, lifecycle)
}

/// Waits until so many replicas are ready.
pub async fn all_ready(pool: &StreamPool<Echo>, count: usize) {
    until("all replicas are ready", || {
        let state = pool.state();
        state.replicas.iter().filter(|replica| replica.phase == ovomesh_mesh::Phase::Ready).count() == count
    })
    .await;
}

/// Makes calls of these numbers at once, each in a task that checks whose answer it got.
pub fn calls(
    pool: &StreamPool<Echo>,
    numbers: std::ops::Range<u64>,
) -> JoinSet<Result<Reply<Body>, CallError>> {
    let mut set = JoinSet::new();
    for number in numbers {
        let pool = pool.clone();
        set.spawn(async move { pool.call(request(number)).await.inspect(|reply| check(number, reply)) });
    }
    set
}

pub fn request(number: u64) -> Request<Body> {
    sized(number, 1_000)
}

pub fn sized(number: u64, bytes: usize) -> Request<Body> {
    let data = Bytes::from(vec![number as u8; bytes]);
    Request { body: Body { number, data }, deadline: None, traceparent: String::new() }
}

pub fn within(mut request: Request<Body>, budget: Duration) -> Request<Body> {
    request.deadline = Some(Instant::now() + budget);
    request
}

pub fn check(number: u64, reply: &Reply<Body>) {
    assert_eq!(reply.body.number, number, "another call's answer");
}

/// How long a test waits for anything before it fails. Far longer than needed, because machines are busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits for a condition.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Fails when something takes for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it took too long")
}

/// A set of replicas that a test changes.
pub struct Watched(watch::Receiver<HashSet<Uri>>);

pub fn watched() -> (watch::Sender<HashSet<Uri>>, Watched) {
    let (sender, mut receiver) = watch::channel(HashSet::new());
    receiver.mark_changed();
    (sender, Watched(receiver))
}

impl Discover for Watched {
    async fn next(&mut self) -> Option<HashSet<Uri>> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
