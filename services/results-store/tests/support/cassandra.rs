//! A real Cassandra for tests, and stores on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Parser as _;
use ovomesh_mesh::Lifecycle;
use ovomesh_results_store::{Args, Cql, CqlConfig, Store};
use ovomesh_testkit::Cassandra;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

/// Longer than anything here takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(90);

/// One node for all tests of a program; it ends with the program.
pub fn shared() -> &'static Cassandra {
    static SHARED: OnceLock<Cassandra> = OnceLock::new();
    SHARED.get_or_init(|| Cassandra::start(1).expect("Cassandra starts"))
}

/// A name that no other test has.
pub fn keyspace() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Flags for a store with one copy.
pub fn flags(nodes: &str, keyspace: &str) -> Vec<String> {
    ["--cql", nodes, "--cql-keyspace", keyspace, "--cql-replication", "1"].map(str::to_owned).into()
}

pub fn config(flags: &[String]) -> CqlConfig {
    let flags = std::iter::once("results-store".to_owned()).chain(flags.iter().cloned());
    let args = Args::try_parse_from(flags).expect("flags that are right");
    args.cql.try_into().expect("files that are right")
}

/// A store that is connected.
pub async fn cql(flags: &[String], life: &Lifecycle) -> Cql {
    let store = Cql::start(config(flags), "test".into(), life);
    well(&store).await;
    store
}

/// Waits until rows can be written.
pub async fn well(store: &Cql) {
    let begun = Instant::now();
    while let Some(trouble) = store.trouble() {
        assert!(begun.elapsed() < LIMIT, "{trouble}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for a trouble with these words.
pub async fn trouble(store: &Cql, words: &str) -> String {
    let begun = Instant::now();
    loop {
        let trouble = store.trouble();
        match trouble {
            Some(trouble) if trouble.contains(words) => return trouble,
            other => assert!(begun.elapsed() < LIMIT, "{other:?} should say: {words}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client of the test's own.
pub async fn session(nodes: &str) -> Session {
    SessionBuilder::new().known_nodes(nodes.split(',')).build().await.expect("a node answers")
}

/// Every table holds each of these rows once, and no other.
pub async fn assert_stored_once(nodes: &str, keyspace: &str, name: &str, count: usize) {
    let session = session(nodes).await;
    let expected: Vec<_> = (0..count).map(|n| super::load::ids(name, n).0).collect();
    for table in ["scans_by_line", "scans_by_id_and_site", "scans_by_egg_and_hour"] {
        let mut question =
            scylla::statement::unprepared::Statement::new(format!("SELECT scan_id FROM {keyspace}.{table}"));
        question.set_consistency(scylla::statement::Consistency::Quorum);
        let rows = session.query_unpaged(question, ()).await.unwrap().into_rows_result().unwrap();
        let mut found: Vec<_> = rows.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect();
        found.sort();
        assert_eq!(found.len(), count, "{table}");
        assert_eq!(found, expected, "{table}");
    }
}
