//! The store on Cassandra or ScyllaDB, through CQL that both know.
//!
//! [`link`] keeps the connection and knows how the database is; [`schema`] makes the tables; [`write`] and [`read`] are
//! what is done with them; [`migration`] brings the rows of older releases over. Several results-stores may work on one
//! keyspace.

mod args;
mod config;
mod durability;
mod eggs;
mod explain;
mod hours;
mod lines;
mod link;
mod migration;
mod read;
mod retry;
mod schema;
mod session;
mod tables;
mod timestamp;
mod turns;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use ovomesh_api::{Invalid, ScanId, Site};
use ovomesh_mesh::Lifecycle;
use scylla::policies::timestamp_generator::{MonotonicTimestampGenerator, TimestampGenerator as _};

use crate::StoreError;
use crate::keys;
use crate::once::{self, Outcome, Plan};
use crate::record::Record;
use crate::store::{EggRange, LineRange, Page, Store, StoredLines, only};
pub use args::CqlArgs;
pub use config::{CqlConfig, Level};
use hours::Hours;
use link::Link;
use read::ReadError;
use tables::Tables;
use turns::Turns;
use write::Writer;

/// Appends on their way at once: while one waits for the slowest of its rows, the next ones are under way.
const APPENDS: usize = 4;

/// The store on CQL.
pub struct Cql {
    link: Arc<Link>,
    hours: Hours,
    turns: Turns,
    clock: MonotonicTimestampGenerator,
    in_flight: usize,
}

impl Cql {
    /// Connects in a task of its own, again and again until the drain: there is no error when the database is away.
    pub fn start(config: CqlConfig, instance: String, lifecycle: &Lifecycle) -> Self {
        // The appends share what may be on its way.
        let in_flight = usize::from(config.in_flight).div_ceil(APPENDS);
        let link = Link::start(config, instance, lifecycle);
        let clock = MonotonicTimestampGenerator::new();
        Self { link, hours: Hours::default(), turns: Turns::default(), clock, in_flight }
    }

    async fn read<T>(
        &self,
        read: impl AsyncFnOnce(&Tables) -> Result<T, ReadError>,
    ) -> Result<T, StoreError> {
        let tables = self.link.tables().await?;
        read(&tables).await.map_err(|error| match error {
            ReadError::Database(reason) => self.link.unavailable(reason),
            ReadError::Damaged(reason) => StoreError::Damaged { store: self.link.address().into(), reason },
        })
    }
}

impl Store for Cql {
    const APPENDS: usize = APPENDS;

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Outcome>, StoreError> {
        let tables = self.link.tables().await?;
        // Held until they are written: later writers of the same scans find them.
        let _turn = self.turns.take(records.iter().map(Record::key).collect()).await;
        let stored = tables.stored(&records, self.in_flight).await.map_err(|error| match error {
            ReadError::Database(reason) | ReadError::Damaged(reason) => self.link.failed(reason),
        })?;
        let Plan { outcomes, writes } = once::plan(records, &stored);
        let (time, in_flight) = (self.clock.next_timestamp(), self.in_flight);
        let writer = Writer { tables: &tables, hours: &self.hours, time, in_flight };
        // Whatever the database answers, the rows may be sent again: each was checked against all that it could be
        // refused for, so a refusal is about tables and rights, which a person can mend.
        writer.write(&writes).await.map_err(|error| self.link.failed(explain::executing(&error)))?;
        self.link.works();
        Ok(outcomes)
    }

    async fn get_scan(&self, scan_id: ScanId, site: Option<Site>) -> Result<Option<Bytes>, StoreError> {
        let found = self.read(async |tables| tables.get_scan(&scan_id, site.as_ref()).await).await?;
        only(format_args!("scan {scan_id}"), found)
    }

    async fn list_egg(&self, range: EggRange) -> Result<Page, StoreError> {
        let found = self.read(async |tables| tables.list_egg(&range).await).await?;
        Ok(only(format_args!("egg {}", range.egg_id), found)?.unwrap_or_default())
    }

    async fn list_line(&self, range: LineRange) -> Result<Page, StoreError> {
        let LineRange { line, token, .. } = &range;
        let after = match token.is_empty() {
            true => None,
            false => Some(keys::read_token(line, token).ok_or_else(|| {
                let limit = format!("the next token of a page of line {line}");
                Invalid::field("token", "another line's", limit)
            })?),
        };
        self.read(async |tables| tables.list_line(&range, after.map(|(at, id)| (at.into(), id))).await).await
    }

    async fn list_lines(&self, site: Option<Site>, limit: usize) -> Result<StoredLines, StoreError> {
        self.read(async |tables| tables.list_lines(site.as_ref(), limit).await).await
    }

    fn trouble(&self) -> Option<String> {
        self.link.trouble()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.link.details()
    }
}
