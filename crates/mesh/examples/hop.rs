//! What one hop costs: one client and one server, each with a current-thread runtime on a thread of its own.
//!
//! `cargo run --release -p ovomesh-mesh --example hop [-- BYTES [IN_FLIGHT [SECONDS]]]`
//! prints messages a second and CPU microseconds a message, of each side, for bodies of 128 KiB that come back as
//! 100 bytes, as a verdict does.

#![allow(clippy::unwrap_used, reason = "an example")]
#![allow(unsafe_code, reason = "reads the CPU clock of a thread, which std does not")]

#[path = "../tests/support/echo.rs"]
mod echo;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use echo::{Body, Echo, EchoService};
use ovomesh_mesh::{
    Connector, Done, Lifecycle, PoolConfig, Request, ServerConfig, StageServer, StreamPool, discover,
};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let bytes = numbers.next().unwrap_or(128 << 10);
    let in_flight = numbers.next().unwrap_or(64);
    let seconds = numbers.next().unwrap_or(5);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let lifecycle = Lifecycle::new();
    let drained = lifecycle.clone();
    let server = std::thread::spawn(move || measured(serve(listener, drained)).1);
    let (calls, client) = measured(load(uri, bytes as usize, in_flight, Duration::from_secs(seconds)));
    lifecycle.drain.cancel();
    let server = server.join().unwrap();

    let per = |cpu: Duration| cpu.as_secs_f64() * 1e6 / calls as f64;
    println!(
        "{bytes} bytes, {in_flight} in flight: {:.0} messages/s, CPU per message {:.0} us client, {:.0} us server",
        calls as f64 / seconds as f64,
        per(client),
        per(server),
    );
}

async fn serve(listener: std::net::TcpListener, lifecycle: Lifecycle) {
    let config = ServerConfig::default();
    let max_message_bytes = config.max_message_bytes as usize;
    let stage = StageServer::<Echo>::new(
        config,
        |work| async move {
            let data = work.body.data.slice(..work.body.data.len().min(100));
            let body = Body { number: work.body.number, data };
            Ok(Done { body, queued: Duration::ZERO, worked: Duration::ZERO })
        },
        &lifecycle,
    );
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .max_frame_size(1 << 20)
        .tcp_nodelay(true)
        .add_service(EchoService { stage, max_message_bytes })
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            lifecycle.drain.clone().cancelled_owned(),
        )
        .await
        .unwrap();
}

/// Keeps so many calls in flight, and counts the answers.
async fn load(uri: http::Uri, bytes: usize, in_flight: u64, time: Duration) -> u64 {
    let lifecycle = Lifecycle::new();
    let found = discover::fixed([uri]);
    let pool = StreamPool::<Echo>::start(PoolConfig::default(), Connector::default(), found, &lifecycle);
    pool.ready().await;
    let data = Bytes::from(vec![7; bytes]);
    let end = Instant::now() + time;
    let mut workers = JoinSet::new();
    for number in 0..in_flight {
        let (pool, data) = (pool.clone(), data.clone());
        workers.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                let deadline = Some(Instant::now() + Duration::from_secs(2));
                let body = Body { number, data: data.clone() };
                pool.call(Request { body, deadline, traceparent: String::new() }).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    workers.join_all().await.into_iter().sum()
}

/// Runs a future on this thread, and tells the CPU time of the thread.
fn measured<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = cpu();
    let result = runtime.block_on(future);
    (result, cpu() - before)
}

fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of our own, which the call fills in.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "Linux has a clock for each thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
