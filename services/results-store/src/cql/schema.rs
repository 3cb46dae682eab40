//! The tables, made and changed in numbered steps.
//!
//! Every step is a list of statements that may be repeated, so that a step that was cut short is simply done again. Two
//! processes that do it at the same time send the same statements to the same node, which does them one after the other.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::unprepared::Statement;

use super::config::CqlConfig;
use super::explain;

/// Making a table takes a second on a busy node.
const LIMIT: Duration = Duration::from_secs(30);
/// Seconds.
const DAY: u32 = 86_400;
/// Windows of a table's rows, as many as compaction works best with: a row is deleted with its whole window.
const WINDOWS: u32 = 30;

/// The steps; the version of a schema is how many of them were done.
const STEPS: &[&[&str]] = &[
    // Releases up to 0.1.0 made scans_by_id, scans_by_egg and pulse here too: see `migration`.
    &[
        // Lists of a line; the whole row is in `row` (scan.v1.Row without its preview), the columns beside it are for people.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.scans_by_line (site text, line text, hour timestamp, \
         acquired_at timestamp, nanos int, scan_id text, egg_id text, tray_run text, slot int, call text, p_female float, \
         row blob, PRIMARY KEY ((site, line, hour), acquired_at, nanos, scan_id)) WITH KEPT",
        // Which hours of a line have rows: a list over any time reads only those.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.hours_by_line (site text, line text, hour timestamp, \
         PRIMARY KEY ((site, line), hour)) WITH KEPT_LONGER",
    ],
    &[
        // Where a scan is; of a scan that was written twice with different keys this says which of them stands.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.scans_by_id_and_site (scan_id text, site text, line text, hour timestamp, \
         acquired_at timestamp, nanos int, egg_id text, preview blob, PRIMARY KEY (scan_id, site)) WITH KEPT",
        // An hour to a partition: a scanner may name every egg alike.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.scans_by_egg_and_hour (egg_id text, site text, hour timestamp, \
         acquired_at timestamp, nanos int, scan_id text, row blob, \
         PRIMARY KEY ((egg_id, site, hour), acquired_at, nanos, scan_id)) \
         WITH CLUSTERING ORDER BY (acquired_at DESC, nanos DESC, scan_id ASC) AND KEPT",
        // Which sites have an egg of this name, and in which hours. Written with every row, so kept as long.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.hours_by_egg (egg_id text, site text, hour timestamp, \
         PRIMARY KEY (egg_id, site, hour)) WITH CLUSTERING ORDER BY (site ASC, hour DESC) AND KEPT",
        // Written every second by each results-store, to know whether rows can be written. Older releases have `pulse`.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.writers (instance text PRIMARY KEY, release text, at timestamp) \
         WITH default_time_to_live = 86400",
        // How far `migration` is.
        "CREATE TABLE IF NOT EXISTS KEYSPACE.migrations (name text, round int, part int, at timestamp, \
         PRIMARY KEY (name, round, part))",
    ],
];

/// Which steps were done.
const VERSIONS: &str =
    "CREATE TABLE IF NOT EXISTS KEYSPACE.schema_versions (version int PRIMARY KEY, done_at timestamp)";

/// Makes what is missing of keyspace and tables.
pub(super) async fn migrate(session: &Session, config: &CqlConfig) -> Result<(), String> {
    if !exists(session, "keyspaces", &config.keyspace, None).await? {
        change(session, &create_keyspace(config)).await?;
    }
    if !exists(session, "tables", &config.keyspace, Some("schema_versions")).await? {
        change(session, &fill(VERSIONS, config)).await?;
    }
    let newest = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    let done = version(session, config).await?;
    if done > newest {
        return Err(format!(
            "its tables have version {done}, made by a newer release; this one knows {newest}: start the newer one"
        ));
    }
    for (version, step) in (1..).zip(STEPS).filter(|(version, _)| *version > done) {
        tracing::info!(keyspace = config.keyspace, version, "changing the tables");
        for statement in *step {
            change(session, &fill(statement, config)).await?;
        }
        let insert = fill(
            "INSERT INTO KEYSPACE.schema_versions (version, done_at) VALUES (?, toTimestamp(now()))",
            config,
        );
        let mut insert = Statement::new(insert);
        insert.set_is_idempotent(true);
        session.query_unpaged(insert, (version,)).await.map_err(|error| explain::executing(&error))?;
    }
    Ok(())
}

/// How many steps were done.
async fn version(session: &Session, config: &CqlConfig) -> Result<i32, String> {
    let found =
        ask::<(i32,)>(session, &fill("SELECT version FROM KEYSPACE.schema_versions", config), ()).await?;
    Ok(found.into_iter().map(|(version,)| version).max().unwrap_or(0))
}

pub(super) async fn exists(
    session: &Session,
    what: &str,
    keyspace: &str,
    table: Option<&str>,
) -> Result<bool, String> {
    let question = format!("SELECT keyspace_name FROM system_schema.{what} WHERE keyspace_name = ?");
    let found = match table {
        None => ask::<(String,)>(session, &question, (keyspace,)).await?,
        Some(table) => ask(session, &format!("{question} AND table_name = ?"), (keyspace, table)).await?,
    };
    Ok(!found.is_empty())
}

/// The rows of a small answer.
pub(super) async fn ask<R>(
    session: &Session,
    question: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, String>
where
    R: for<'f> scylla::deserialize::row::DeserializeRow<'f, 'f>,
{
    let mut question = Statement::new(question);
    question.set_is_idempotent(true);
    let answer = session.query_unpaged(question, values).await.map_err(|error| explain::executing(&error))?;
    let rows = answer.into_rows_result().map_err(|error| error.to_string())?;
    rows.rows::<R>()
        .map_err(|error| error.to_string())?
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Changes the schema on the first node that does it, in an order that is the same for all processes that change it.
async fn change(session: &Session, statement: &str) -> Result<(), String> {
    let state = session.get_cluster_state();
    let mut nodes: Vec<_> = state.get_nodes_info().to_vec();
    nodes.sort_by_key(|node| node.host_id);
    let mut last = "no node of it is known".to_owned();
    for node in nodes {
        match on(session, statement, node).await {
            // Comes back when all nodes that are up have it.
            Ok(()) => return Ok(()),
            Err(error) => last = explain::executing(&error),
        }
    }
    Err(last)
}

async fn on(session: &Session, statement: &str, node: Arc<Node>) -> Result<(), ExecutionError> {
    let mut statement = Statement::new(statement);
    let there = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node), None);
    statement.set_load_balancing_policy(Some(there));
    statement.set_request_timeout(Some(LIMIT));
    statement.set_is_idempotent(true);
    session.query_unpaged(statement, ()).await.map(drop)
}

fn create_keyspace(config: &CqlConfig) -> String {
    // Cassandra and ScyllaDB take `replication_factor` for every datacenter there is.
    let whose =
        config.datacenter.as_deref().map_or("replication_factor".into(), |name| name.replace('\'', "''"));
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', '{whose}': {}}}",
        config.keyspace, config.replication
    )
}

fn fill(statement: &str, config: &CqlConfig) -> String {
    let days = u32::from(config.keep_days);
    let kept = |seconds: u32| {
        format!(
            "default_time_to_live = {seconds} AND compaction = {{'class': 'TimeWindowCompactionStrategy', \
             'compaction_window_unit': 'DAYS', 'compaction_window_size': {}}}",
            days.div_ceil(WINDOWS)
        )
    };
    let statement = statement.replace("KEYSPACE", &config.keyspace);
    // A day more: the mark of an hour is not written with each of its rows.
    let statement = statement.replace("KEPT_LONGER", &kept((days + 1) * DAY));
    statement.replace("KEPT", &kept(days * DAY))
}
