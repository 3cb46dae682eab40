//! The store on CQL, with a real Cassandra of one node that all tests here share, each in a keyspace of its own.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use ovomesh_mesh::Lifecycle;
use ovomesh_results_store::{Cql, Store};
use proptest::prelude::*;
use support::cassandra::{cql, flags, keyspace, shared, well};
use support::conformance::{check, check_pages, rows};
use support::{all, append, row};

#[tokio::test]
async fn it_is_a_store() {
    let life = Lifecycle::new();
    let store = cql(&flags(&shared().contact_points(), &keyspace()), &life).await;
    check(&store).await;
}

#[tokio::test]
async fn the_first_row_of_a_scan_that_its_agent_has_forgotten_stands() {
    let life = Lifecycle::new();
    let store = cql(&flags(&shared().contact_points(), &keyspace()), &life).await;
    support::late::the_first_row_of_a_forgotten_scan_stands(store).await;
}

#[test]
fn pages_are_whole_and_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (life, sites) = (Lifecycle::new(), AtomicU32::new(0));
    let store = runtime.block_on(cql(&flags(&shared().contact_points(), &keyspace()), &life));
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(rows in rows(), limit in 1..50usize, from in 0..20i64, to in 0..25i64)| {
        let site = format!("site-{}", sites.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(check_pages(&store, &site, &rows, limit, (from, to)))?;
    });
}

#[tokio::test]
async fn stores_that_start_at_once_make_the_tables_once_and_share_them() {
    let (life, flags) = (Lifecycle::new(), flags(&shared().contact_points(), &keyspace()));
    let stores = futures::future::join_all((0..4).map(|_| cql(&flags, &life))).await;
    for (n, store) in (0..).zip(&stores) {
        append(store, [row(&format!("of-{n}"), "egg", n)]).await;
    }
    let again = cql(&flags, &life).await;
    for store in stores.iter().chain([&again]) {
        assert_eq!(all(store).await, ["of-0", "of-1", "of-2", "of-3"]);
    }
}

#[tokio::test]
async fn tables_of_a_newer_release_are_left_alone_and_told() {
    let (life, keyspace) = (Lifecycle::new(), keyspace());
    let flags = flags(&shared().contact_points(), &keyspace);
    cql(&flags, &life).await;
    let session = support::cassandra::session(&shared().contact_points()).await;
    let newer = format!("INSERT INTO {keyspace}.schema_versions (version) VALUES (99)");
    session.query_unpaged(newer, ()).await.unwrap();
    let store = Cql::start(support::cassandra::config(&flags), "test".into(), &life);
    let told = support::cassandra::trouble(&store, "newer release").await;
    assert!(told.contains("version 99") && told.contains(&keyspace), "{told}");
}

#[tokio::test]
async fn what_a_row_leaves_open_is_unset_and_the_columns_beside_it_can_be_read_by_people() {
    let (life, keyspace) = (Lifecycle::new(), keyspace());
    let store = cql(&flags(&shared().contact_points(), &keyspace), &life).await;
    append(&store, [row("bare", "", 5)]).await;
    let session = support::cassandra::session(&shared().contact_points()).await;
    let question = format!(
        "SELECT writetime(tray_run), writetime(egg_id), writetime(row), call, ttl(row) FROM {keyspace}.scans_by_line \
         WHERE site = 's' AND line = 'l' AND hour = '2026-01-01T00:00:00Z'"
    );
    type Found = (Option<i64>, Option<i64>, Option<i64>, String, Option<i32>);
    let rows = session.query_unpaged(question, ()).await.unwrap().into_rows_result().unwrap();
    let (tray_run, egg_id, written, call, left) = rows.single_row::<Found>().unwrap();
    assert_eq!((tray_run, egg_id), (None, None));
    let now = jiff::Timestamp::now().as_microsecond();
    assert!(
        written.is_some_and(|at| (now - 600_000_000..=now).contains(&at)),
        "{written:?}: the writer's own clock"
    );
    assert_eq!(call, "UNDECIDED");
    assert!(left.is_some_and(|seconds| seconds > 399 * 86_400), "{left:?}");
}

#[tokio::test]
async fn what_keeps_acknowledged_rows_is_told() {
    let life = Lifecycle::new();
    let store = cql(&flags(&shared().contact_points(), &keyspace()), &life).await;
    well(&store).await;
    let details: std::collections::BTreeMap<_, _> = store.details().into_iter().collect();
    assert!(
        details["durability"].contains("1 copies") && details["durability"].contains("group"),
        "{details:?}"
    );
}
