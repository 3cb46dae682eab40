//! Real results-stores on a real Cassandra that is not there yet, dies, comes back, or loses one of three nodes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ovomesh_api::pb::store::v1::GetScanRequest;
use ovomesh_api::pb::store::v1::store_service_client::StoreServiceClient;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_bootstrap::status::pb::{GetStatusRequest, GetStatusResponse};
use ovomesh_mesh::Connector;
use ovomesh_testkit::{Cassandra, Cluster, Process, get, wait_until};
use support::cassandra::{LIMIT, assert_stored_once};
use support::load::{Load, ids};

/// More than a store's memory grows by while rows wait: what one gateway may have on its way, a few times over.
const GROWTH: u64 = 48 << 20;

fn start(folder: &Path, name: &str, nodes: &str, copies: usize) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovomesh-results-store"));
    command.args(["--listen", "127.0.0.1:0", "--cql", nodes, "--cql-replication", &copies.to_string()]);
    Process::start(name, command, folder).unwrap()
}

async fn status(store: &Process) -> GetStatusResponse {
    let channel = Connector::default().lazy(&store.url().parse().unwrap()).unwrap();
    StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

/// Waits for a thread-bound helper of the testkit without holding up this test's I/O.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Waits until the store says that it is not ready.
async fn not_ready(store: &Process) {
    let address = store.address();
    let told = move || matches!(get(address, "/readyz"), Ok((503, _))).then_some(());
    blocking(move || wait_until("not ready", LIMIT, told)).await.unwrap();
}

#[tokio::test]
async fn rows_wait_for_the_only_node_and_arrive_and_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let network = Cassandra::reserve().unwrap();
    let nodes = format!("{}:9042", network.node(1));
    let mut store = start(folder.path(), "store", &nodes, 1);
    not_ready(&store).await;
    let told = status(&store).await;
    assert!(!told.ready);
    let reason = &told.details["database"];
    assert!(reason.contains(&nodes) && reason.contains("no node accepts a connection"), "{reason}");

    let begun = blocking(move || Cassandra::start_with(Cluster::default(), network));
    let mut cassandra = begun.await.unwrap();
    store.ready().unwrap();
    let told = status(&store).await.details;
    assert!(told["database"].contains("works") && told["durability"].contains("1 copies"), "{told:?}");

    const ROWS: usize = 4_000;
    let load = Load::start(&[store.url()], "waits", ROWS, 400);
    load.until(400).await;
    let before = store.usage().peak;
    let mut cassandra = blocking(move || {
        cassandra.kill(1).unwrap();
        cassandra
    })
    .await;
    not_ready(&store).await;
    // More than a store lets one gateway have on its way.
    let acknowledged = load.acknowledged();
    while load.sent() < acknowledged + 2_500 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = store.usage().peak;
    assert!(after < before + GROWTH, "from {} to {} MiB while rows waited", before >> 20, after >> 20);
    let status = status(&store).await;
    assert!(!status.ready && status.backlog > 0, "{status:?}");
    let cassandra = blocking(move || {
        cassandra.restart(1).unwrap();
        cassandra
    })
    .await;
    load.end().await;
    store.ready().unwrap();
    assert_stored_once(&nodes, "ovomesh", "waits", ROWS).await;
    let channel = Connector::default().lazy(&store.url().parse().unwrap()).unwrap();
    let scan_id = ids("waits", ROWS - 1).0;
    let found = StoreServiceClient::new(channel)
        .get_scan(GetScanRequest { scan_id, ..Default::default() })
        .await
        .unwrap();
    assert!(support::read(found.into_inner().row).preview.is_some());
    drop(cassandra);
}

#[tokio::test]
async fn one_of_three_nodes_killed_or_frozen_under_writes_loses_nothing() {
    const ROWS: usize = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let mut cassandra = blocking(|| Cassandra::start(3)).await.unwrap();
    let nodes = cassandra.contact_points();
    // Both make the tables, at the same time.
    let mut stores = ["store-1", "store-2"].map(|name| start(folder.path(), name, &nodes, 3));
    for store in &mut stores {
        store.ready().unwrap();
        let durability = status(store).await.details["durability"].clone();
        assert!(durability.contains("3 copies, acknowledged by most"), "{durability}");
    }
    let load = Load::start(&stores.each_ref().map(Process::url), "nodes", ROWS, 200);
    load.until(500).await;
    let mut cassandra = blocking(move || {
        cassandra.kill(2).unwrap();
        cassandra
    })
    .await;
    load.until(2_000).await;
    let cassandra = blocking(move || {
        cassandra.restart(2).unwrap();
        cassandra.pause(3).unwrap();
        cassandra
    });
    let mut cassandra = cassandra.await;
    load.until(ROWS - 1_000).await;
    cassandra.resume(3).unwrap();
    let pause = load.end().await;
    println!("the longest time without an acknowledged row: {:.1} s", pause.as_secs_f64());
    assert_stored_once(&nodes, "ovomesh", "nodes", ROWS).await;
    for store in &stores {
        assert!(status(store).await.ready);
    }
}
