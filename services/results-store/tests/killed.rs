//! A real process, killed in the middle of its work.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use ovomesh_api::pb::store::v1::ListLineRequest;
use ovomesh_api::pb::store::v1::store_service_client::StoreServiceClient;
use ovomesh_api::stages::Append;
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_testkit::Process;
use support::{row, with_picture};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Rows on their way when it is killed, at most.
const IN_FLIGHT: i64 = 1_000;

fn start(folder: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovomesh-results-store"));
    command.arg("--data").arg(folder.join("data"));
    let mut process = Process::start("results-store", command, folder).unwrap();
    process.ready().unwrap();
    process
}

/// Sends rows and kills the process when `enough` of them are acknowledged. Gives those that are.
async fn load_and_kill(mut process: Process, round: i64, enough: usize) -> BTreeSet<String> {
    let life = Lifecycle::new();
    let replicas = discover::fixed([process.url().parse().unwrap()]);
    let pool = StreamPool::<Append>::start(PoolConfig::default(), Connector::default(), replicas, &life);
    let mut rows: FuturesUnordered<_> = (0..IN_FLIGHT)
        .map(|n| {
            let (pool, id) = (pool.clone(), format!("{round}-{n:04}"));
            let body = with_picture(row(&id, "egg", round * IN_FLIGHT + n), 1);
            async move {
                let request = Request { body, deadline: None, traceparent: String::new() };
                pool.call(request).await.map(|_| id)
            }
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    while acknowledged.len() < enough {
        let answer = timeout(LIMIT, rows.next()).await.expect("an answer").expect("rows are left");
        acknowledged.insert(answer.unwrap());
    }
    process.kill().unwrap();
    life.drain.cancel();
    acknowledged
}

async fn stored(process: &Process) -> BTreeSet<String> {
    let channel = Connector::default().lazy(&process.url().parse().unwrap()).unwrap();
    let mut client = StoreServiceClient::new(channel);
    let mut ask = ListLineRequest { site: "s".into(), line: "l".into(), limit: 1_000, ..Default::default() };
    let mut ids = BTreeSet::new();
    loop {
        let page =
            timeout(LIMIT, client.list_line(ask.clone())).await.expect("an answer").unwrap().into_inner();
        ids.extend(page.rows.into_iter().map(|row| support::read(row).scan_id));
        if page.next_token.is_empty() {
            return ids;
        }
        ask.token = page.next_token;
    }
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_moment_keeps_all_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for (round, enough) in [1, 10, 150, 400, 700].into_iter().enumerate() {
        acknowledged.extend(load_and_kill(start(folder.path()), round as i64, enough).await);
        let again = start(folder.path());
        let found = stored(&again).await;
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} were acknowledged");
    }
}
