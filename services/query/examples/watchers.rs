//! What watching costs: a query in a process of its own, and many who watch it while rows are stored at a fixed rate.
//!
//! `cargo run --release -p ovomesh-query --example watchers [-- WATCHERS [RATE [SECONDS]]]` prints the CPU that query
//! used, in all and for each row given to each watcher.

#![allow(clippy::unwrap_used, reason = "an example")]

#[path = "../../results-store/examples/support/row.rs"]
mod row;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Parser as _;
use ovomesh_api::pb::query::v1::WatchRequest;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::stages::Append;
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Endpoint;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let args = ovomesh_query::Args::parse_from(std::env::args().skip(1));
        let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
        let config = || ovomesh_query::Config::try_from(args);
        let name = ovomesh_query::NAME;
        return Ok(ovomesh_bootstrap::main(name, &server, &telemetry, config, ovomesh_query::run)?);
    }
    let mut args = std::env::args().skip(1);
    let mut number = |default| args.next().map_or(default, |text| text.parse::<u64>().expect("a number"));
    let (watchers, rate, seconds) = (number(100), number(1_000), number(10));
    ovomesh_bootstrap::runtime(1)?.block_on(measure(watchers, rate, seconds))
}

async fn measure(watchers: u64, rate: u64, seconds: u64) -> anyhow::Result<()> {
    let (folder, life) = (tempfile::tempdir()?, Lifecycle::new());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let store = format!("http://{}", listener.local_addr()?);
    let config = ovomesh_results_store::Config::in_folder(folder.path());
    let running = ovomesh_results_store::run(config, listener, life.clone());
    life.spawn("store", async { running.await.unwrap() });
    let pool = StreamPool::<Append>::start(
        PoolConfig::default(),
        Connector::default(),
        discover::parse(&store)?,
        &life,
    );
    let (mut query, url) = serve(&store)?;
    let mut watching = JoinSet::new();
    let rows = rate * seconds;
    for _ in 0..watchers {
        let mut client = QueryServiceClient::new(Endpoint::from_shared(url.clone())?.connect().await?);
        let mut watch = client.watch(WatchRequest::default()).await?.into_inner();
        watch.message().await?;
        watching.spawn(async move {
            let mut seen = 0;
            while seen < rows {
                match watch.message().await.unwrap().expect("it goes on").message {
                    Some(Message::Rows(some)) => seen += some.rows.len() as u64,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    let before = cpu(&query);
    let (begun, mut storing) = (Instant::now(), JoinSet::new());
    for n in 0..rows {
        tokio::time::sleep_until(begun + Duration::from_micros(n * 1_000_000 / rate)).await;
        let (pool, body) = (pool.clone(), row(n));
        storing.spawn(async move {
            pool.call(Request { body, deadline: None, traceparent: String::new() }).await.unwrap();
        });
    }
    storing.join_all().await;
    watching.join_all().await;
    let used = cpu(&query) - before;
    println!(
        "{watchers} watchers at {rate} rows/s: query used {:.1} % of a core, {:.2} us for each row and watcher",
        used.as_secs_f64() / begun.elapsed().as_secs_f64() * 1e2,
        used.as_secs_f64() * 1e6 / (rows * watchers.max(1)) as f64
    );
    query.kill()?;
    query.wait()?;
    Ok(())
}

fn serve(store: &str) -> anyhow::Result<(Child, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", store]).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
    Ok((child, format!("http://{}", line.trim().rsplit(' ').next().unwrap_or_default())))
}

/// A row without its picture, which watchers are not given.
fn row(n: u64) -> Row {
    Row { preview: None, ..row::row(n) }
}

fn cpu(child: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    // Linux tells CPU time in hundredths of a second, whatever its own clock is.
    Duration::from_millis(ticks * 10)
}
