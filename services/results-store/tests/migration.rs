//! Data of releases that knew scans and eggs by their id alone: nothing of it is lost or doubled, whenever a process is
//! killed, and the older release may go on writing to a database meanwhile.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{Call, Row};
use ovomesh_mesh::Lifecycle;
use ovomesh_results_store::{Cql, Embedded, Store};
use support::cassandra::{LIMIT, cql, flags, keyspace, session, shared};
use support::old_cql::OldCql;
use support::{all_of, append, egg_of, get_of, old};

/// A results-store that may be killed while it starts.
struct Starting {
    child: Child,
    log: PathBuf,
}

impl Starting {
    fn new(folder: &Path, flags: &[String]) -> Self {
        let log = folder.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ovomesh-results-store"));
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !reached().await {
        assert!(begun.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Scans `from..to`, every other one of each site.
fn rows(from: i64, to: i64) -> Vec<Row> {
    (from..to).map(|n| old::row(if n % 2 == 0 { "north" } else { "south" }, n, true)).collect()
}

fn site(row: &Row) -> &str {
    &row.place.as_ref().unwrap().site
}

/// Each of these is found whole, by its id and by its egg.
async fn assert_found<S: Store>(store: &S, rows: &[Row]) {
    for row in rows {
        for site in [Some(site(row)), None] {
            let found = get_of(store, &row.scan_id, site).await.unwrap();
            assert_eq!(found.as_ref(), Some(row), "by its id");
            let egg = egg_of(store, &row.egg_id, site, 10).await.unwrap();
            assert_eq!(egg, [Row { preview: None, ..row.clone() }], "by its egg");
        }
    }
}

/// Their lines hold these, once, and nothing else.
async fn assert_listed<S: Store>(store: &S, rows: &[Row]) {
    for name in ["north", "south"] {
        let ids = rows.iter().filter(|row| site(row) == name).map(|row| row.scan_id.clone());
        assert_eq!(all_of(store, name).await, ids.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_folder_of_an_older_release_is_brought_up_to_date_although_it_is_killed_half_way() {
    let (folder, rows) = (tempfile::tempdir().unwrap(), rows(0, 60_000));
    let data = folder.path().join("data");
    old::embedded(&data, &rows);
    let process = Starting::new(folder.path(), &["--data".into(), data.display().to_string()]);
    until("it begins", async || process.log().contains("migrating the rows of an older release")).await;
    let half_way = process.log();
    drop(process);
    assert!(!half_way.contains("is migrated to this release"), "it was killed too late: {half_way}");
    let store = Embedded::open(&data).unwrap();
    assert_listed(&store, &rows).await;
    for some in rows.chunks(100).step_by(30) {
        assert_found(&store, some).await;
    }
    // The sites may number alike from now on.
    let another = old::row("south", 0, true);
    append(&store, [another.clone()]).await;
    drop(store);
    let store = Embedded::open(&data).unwrap();
    assert_eq!(get_of(&store, "0", Some("north")).await.unwrap().as_ref(), Some(&rows[0]));
    assert_eq!(get_of(&store, "0", Some("south")).await.unwrap().unwrap().egg_id, another.egg_id);
}

/// What status says of the rows of an older release.
fn left(store: &Cql) -> Option<String> {
    store.details().into_iter().find_map(|(name, fact)| (name == "rows of an older release").then_some(fact))
}

async fn until_brought_over(store: &Cql) {
    // Told from the moment of the connection on.
    until("all is brought over", async || left(store).is_none()).await;
}

#[tokio::test]
async fn tables_of_an_older_release_are_brought_over_although_it_is_killed_half_way() {
    let (folder, name) = (tempfile::tempdir().unwrap(), keyspace());
    let nodes = shared().contact_points();
    let old = OldCql::create(session(&nodes).await, &name).await;
    let rows = rows(0, 2_000);
    old.write(&rows).await;
    let process = Starting::new(folder.path(), &flags(&nodes, &name));
    until("a part is done", async || process.log().contains("is migrated")).await;
    drop(process);
    let half_way = old.count("migrations").await;
    assert!((1..128).contains(&half_way), "{half_way} of 128 parts were done when it was killed");
    let life = Lifecycle::new();
    let store = cql(&flags(&nodes, &name), &life).await;
    // While it goes on, and when it is over.
    assert_found(&store, &rows[..50]).await;
    assert_listed(&store, &rows).await;
    until_brought_over(&store).await;
    assert_listed(&store, &rows).await;
    for some in rows.chunks(20).step_by(10) {
        assert_found(&store, some).await;
    }
    for table in ["scans_by_id_and_site", "scans_by_egg_and_hour"] {
        assert_eq!(old.count(table).await, 2_000, "{table}");
    }
    // The old tables are asked no more.
    for table in ["scans_by_id", "scans_by_egg", "pulse"] {
        old.session.query_unpaged(format!("DROP TABLE {name}.{table}"), ()).await.unwrap();
    }
    let again = cql(&flags(&nodes, &name), &life).await;
    assert_found(&again, &rows[..10]).await;
    assert_listed(&again, &rows).await;
}

#[tokio::test]
async fn what_an_older_release_hid_or_replaced_is_sorted_out() {
    let (life, name) = (Lifecycle::new(), keyspace());
    let nodes = shared().contact_points();
    let old = OldCql::create(session(&nodes).await, &name).await;
    let hidden = old::row("north", 1, true);
    let stands = old::row("south", 1, true);
    let replaced = Row { settled: false, ..old::row("north", 2, true) };
    let mut replacing = Row { egg_id: "other".into(), ..replaced.clone() };
    replacing.acquired_at.as_mut().unwrap().seconds += 7_200;
    replacing.verdict.as_mut().unwrap().quality = None;
    replacing.preview = None;
    old.write(&[hidden.clone(), stands.clone(), replaced.clone(), replacing.clone()]).await;
    let store = cql(&flags(&nodes, &name), &life).await;
    until_brought_over(&store).await;
    assert_eq!(
        all_of(&store, "north").await,
        ["1", "2"],
        "a site's row that another's had hidden is there again"
    );
    assert_eq!(all_of(&store, "south").await, ["1"]);
    assert_eq!(get_of(&store, "1", Some("south")).await.unwrap(), Some(stands));
    let found = get_of(&store, "1", Some("north")).await.unwrap();
    assert_eq!(found, Some(Row { preview: None, ..hidden }), "with the other's picture in no case");
    assert_eq!(get_of(&store, "2", None).await.unwrap().as_ref(), Some(&replacing));
    assert_eq!(egg_of(&store, "egg-2", None, 10).await.unwrap(), []);
    assert_eq!(egg_of(&store, "other", None, 10).await.unwrap(), [replacing]);
}

#[tokio::test]
async fn rows_that_the_older_release_writes_meanwhile_are_brought_over_when_it_has_left() {
    let (life, name) = (Lifecycle::new(), keyspace());
    let nodes = shared().contact_points();
    let old = OldCql::create(session(&nodes).await, &name).await;
    let (before, meanwhile, own) = (rows(0, 50), rows(50, 100), rows(100, 150));
    old.write(&before).await;
    old.pulse().await;
    let store = cql(&flags(&nodes, &name), &life).await;
    let waits =
        async || left(&store).is_some_and(|left| left.contains("until no results-store of the older"));
    until("the first round is over", waits).await;
    old.write(&meanwhile).await;
    append(&store, own.clone()).await;
    // A row that is stored here and was written there before is the one that is stored here.
    let mut changed = Row { settled: false, ..old::row("north", 200, true) };
    old.write(&[changed.clone()]).await;
    changed.verdict.as_mut().unwrap().set_call(Call::Male);
    append(&store, [changed.clone()]).await;
    assert_found(&store, &[&before[..], &meanwhile[..]].concat()).await;
    until_brought_over(&store).await;
    assert_found(&store, &[&before[..], &meanwhile[..]].concat()).await;
    assert_eq!(old.count("scans_by_id_and_site").await, 151);
    let found = get_of(&store, "200", None).await.unwrap().unwrap();
    assert_eq!(Row { stored_at: changed.stored_at, ..found }, changed);
    assert_listed(&store, &[before, meanwhile, own, vec![changed]].concat()).await;
}
