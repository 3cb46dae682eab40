//! What one hop costs: one client and one server, each with a current-thread runtime on a thread of its own.
//!
//! `cargo run --release -p ovomesh-mesh --example hop [-- BYTES [IN_FLIGHT [SECONDS]]]`
//! prints messages a second and CPU microseconds a message, of each side, for bodies of 128 KiB that come back as
//! 100 bytes, as a verdict does: first over a bare tonic stream, then over the mesh.

#![allow(clippy::unwrap_used, reason = "an example")]
#![allow(unsafe_code, reason = "reads the CPU clock of a thread, which std does not")]

mod bare;
#[path = "../../tests/support/echo.rs"]
mod echo;
mod mesh;

use std::future::Future;
use std::time::Duration;

use echo::Body;
use ovomesh_mesh::Lifecycle;
use tonic::transport::server::TcpIncoming;

/// As every program that carries volumes should: glibc gives buffers of 128 KiB back to the kernel again and again,
/// which costs more than the hop itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let bytes = numbers.next().unwrap_or(128 << 10);
    let in_flight = numbers.next().unwrap_or(64);
    let time = Duration::from_secs(numbers.next().unwrap_or(5));
    let body = Body { number: 1, data: vec![7; bytes as usize].into() };
    println!("{bytes} bytes, {in_flight} in flight");

    let (listener, uri) = listen();
    let end = Lifecycle::new();
    let token = end.drain.clone();
    let server = std::thread::spawn(move || measured(bare::serve(listener, token)).1);
    let client = measured(bare::load(uri, body.clone(), in_flight, time));
    end.drain.cancel();
    report("tonic", time, client, server.join().unwrap());

    let (listener, uri) = listen();
    let end = Lifecycle::new();
    let lifecycle = end.clone();
    let server = std::thread::spawn(move || measured(mesh::serve(listener, lifecycle)).1);
    let client = measured(mesh::load(uri, body, in_flight, time));
    end.drain.cancel();
    report("mesh", time, client, server.join().unwrap());
}

fn report(what: &str, time: Duration, (calls, client): (u64, Duration), server: Duration) {
    let rate = calls as f64 / time.as_secs_f64();
    let [client, server] = [client, server].map(|cpu| cpu.as_secs_f64() * 1e6 / calls as f64);
    println!(
        "{what:>6}: {rate:>6.0} messages/s, CPU a message {client:>4.1} us client, {server:>4.1} us server"
    );
}

fn listen() -> (std::net::TcpListener, http::Uri) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, uri)
}

/// The settings of the product's servers.
fn server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .max_frame_size(1 << 20)
}

/// The server's own `tcp_nodelay` is only for listeners that it binds itself.
fn incoming(listener: std::net::TcpListener) -> TcpIncoming {
    TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap()).with_nodelay(Some(true))
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
