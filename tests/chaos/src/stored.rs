//! What the database holds, read by a client of its own: by CQL, past all of ovomesh's services.

use std::collections::HashMap;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use ovomesh_api::pb::scan::v1::Row;
use prost::Message as _;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::statement::{Consistency, Statement};

/// Keyspace of results-store.
const KEYSPACE: &str = "ovomesh";

/// Rows of one scan in every table.
#[derive(Debug, Default, Clone)]
pub struct Stored {
    /// In `scans_by_line`, the row itself.
    pub by_line: Vec<Row>,
    /// In `scans_by_egg_and_hour`, the row itself.
    pub by_egg: Vec<Row>,
    /// In `scans_by_id_and_site`: site and line.
    pub by_id: Vec<(String, String)>,
}

/// A connection that is none of results-store's.
pub struct Reader(Session);

impl Reader {
    /// Connects to any of these nodes.
    pub async fn open(contact_points: &str) -> anyhow::Result<Self> {
        let nodes = contact_points.split(',');
        let session =
            SessionBuilder::new().known_nodes(nodes).build().await.context("connecting to Cassandra")?;
        Ok(Self(session))
    }

    /// Everything of every scan whose id begins like this.
    pub async fn all(&self, prefix: &str) -> anyhow::Result<HashMap<String, Stored>> {
        let mut stored = HashMap::<String, Stored>::new();
        for (id, row) in self.read::<(String, Vec<u8>)>("SELECT scan_id, row FROM scans_by_line").await? {
            if id.starts_with(prefix) {
                stored.entry(id).or_default().by_line.push(Row::decode(&row[..])?);
            }
        }
        for (id, row) in
            self.read::<(String, Vec<u8>)>("SELECT scan_id, row FROM scans_by_egg_and_hour").await?
        {
            if id.starts_with(prefix) {
                stored.entry(id).or_default().by_egg.push(Row::decode(&row[..])?);
            }
        }
        let by_id = "SELECT scan_id, site, line FROM scans_by_id_and_site";
        for (id, site, line) in self.read::<(String, String, String)>(by_id).await? {
            if id.starts_with(prefix) {
                stored.entry(id).or_default().by_id.push((site, line));
            }
        }
        Ok(stored)
    }

    async fn read<R>(&self, question: &str) -> anyhow::Result<Vec<R>>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + 'static,
    {
        let (table, fields) =
            question.rsplit_once(' ').map(|(fields, table)| (table, fields)).unwrap_or_default();
        let mut statement = Statement::new(format!("{fields} {KEYSPACE}.{table}"));
        statement.set_consistency(Consistency::Quorum);
        statement.set_is_idempotent(true);
        statement.set_page_size(1_000);
        let rows = self.0.query_iter(statement, ()).await.with_context(|| question.to_owned())?;
        let rows = rows.rows_stream::<R>().with_context(|| question.to_owned())?;
        rows.try_collect().await.with_context(|| question.to_owned())
    }
}
