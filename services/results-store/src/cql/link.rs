//! The connection: made again whenever it is lost, and what is known of the database.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_mesh::{Backoff, Lifecycle};
use parking_lot::Mutex;
use scylla::value::CqlTimestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::config::CqlConfig;
use super::durability;
use super::migration::{self, Migration};
use super::tables::Tables;
use super::{explain, schema, session};
use crate::StoreError;

/// Waits between tries to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
/// From one small write, which shows how the database is, to the next.
const PULSE: Duration = Duration::from_secs(1);
/// How long a call waits for a database in trouble before it is tried, or refused: rows that wait here need not be sent
/// again and again, and their senders have reserved room for them.
const WAIT: Duration = Duration::from_secs(2);
/// Trouble that lasts longer than this: a new connection is tried, again and again. The driver reconnects too,
/// but waits up to 10 s between its tries.
const STALE: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct State {
    tables: Option<Arc<Tables>>,
    /// Why rows cannot be written now; in plain words.
    trouble: Option<String>,
}

/// The database as this process sees it.
pub(super) struct Link {
    config: CqlConfig,
    address: String,
    instance: String,
    state: watch::Sender<State>,
    durability: Mutex<Option<String>>,
    migration: Migration,
}

impl Link {
    /// Connects, and keeps connected, until the drain.
    pub fn start(config: CqlConfig, instance: String, lifecycle: &Lifecycle) -> Arc<Self> {
        let trouble = Some("not connected yet".to_owned());
        let link = Arc::new(Self {
            address: config.address(),
            config,
            instance,
            state: watch::Sender::new(State { tables: None, trouble }),
            durability: Mutex::default(),
            migration: Migration::default(),
        });
        let (keeper, drain) = (link.clone(), lifecycle.drain.clone());
        lifecycle.spawn("database", async move {
            tokio::select! {
                () = keeper.keep() => {}
                () = drain.cancelled() => {}
            }
        });
        link
    }

    /// How errors name it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The tables. In trouble only after a while, and an error when there is no connection at all.
    pub async fn tables(&self) -> Result<Arc<Tables>, StoreError> {
        let mut state = self.state.subscribe();
        let _ = timeout(WAIT, state.wait_for(|state| state.trouble.is_none())).await;
        let State { tables, trouble } = state.borrow().clone();
        tables.ok_or_else(|| self.unavailable(trouble.unwrap_or_default()))
    }

    /// Why rows cannot be written now.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.state.borrow().trouble.clone()?;
        Some(format!("{}: {trouble}", self.address))
    }

    /// For status.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        let how = self.trouble().unwrap_or_else(|| format!("{}: works", self.address));
        let durability = self.durability.lock().clone();
        let known = durability.unwrap_or_else(|| "not known yet".into());
        let migration = self.migration.progress().map(|how_far| ("rows of an older release", how_far));
        [("database", how), ("durability", known)].into_iter().chain(migration).collect()
    }

    /// An error of this database.
    pub fn unavailable(&self, reason: String) -> StoreError {
        StoreError::Unavailable { store: self.address.clone(), reason }
    }

    pub fn failed(&self, reason: String) -> StoreError {
        self.turn(Some(reason.clone()));
        self.unavailable(reason)
    }

    /// A write was acknowledged.
    pub fn works(&self) {
        self.turn(None);
    }

    fn turn(&self, trouble: Option<String>) {
        self.state.send_if_modified(|state| {
            match (&state.trouble, &trouble) {
                (Some(_), None) => tracing::info!(database = self.address, "the database works"),
                (before, Some(reason)) if before.as_ref() != Some(reason) => {
                    tracing::warn!(
                        database = self.address,
                        reason,
                        "the database does not work; trying again"
                    );
                }
                _ => {}
            }
            let changed = state.trouble != trouble;
            state.trouble = trouble;
            changed
        });
    }

    async fn keep(&self) {
        let mut backoff = BACKOFF;
        loop {
            match self.connect().await {
                Ok(tables) => {
                    backoff.reset();
                    let tables = Arc::new(tables);
                    self.state.send_modify(|state| state.tables = Some(tables.clone()));
                    self.works();
                    tokio::select! {
                        () = self.watch(&tables) => {}
                        () = self.migration.run(&tables) => {}
                    }
                }
                Err(reason) => self.turn(Some(reason)),
            }
            backoff.wait().await;
        }
    }

    async fn connect(&self) -> Result<Tables, String> {
        let session = session::connect(&self.config).await?;
        schema::migrate(&session, &self.config).await?;
        let durability = durability::look(&session, &self.config).await?;
        if !durability.safe {
            tracing::warn!(database = self.address, "{}", durability.text);
        }
        *self.durability.lock() = Some(durability.text);
        let is_migrating = migration::is_needed(&session, &self.config.keyspace).await?;
        if is_migrating {
            self.migration.is_needed();
        }
        Tables::prepare(session, &self.config.keyspace, is_migrating).await
    }

    /// Looks how the database is. Comes back when the connection should be made anew.
    async fn watch(&self, tables: &Tables) {
        let mut well = Instant::now();
        while well.elapsed() < STALE {
            let at = CqlTimestamp(Timestamp::now().as_millisecond());
            let values = (&self.instance, env!("CARGO_PKG_VERSION"), at);
            let written = tables.session.execute_unpaged(&tables.put_pulse, values).await;
            match written {
                Ok(_) => {
                    well = Instant::now();
                    self.works();
                }
                Err(error) => self.turn(Some(explain::executing(&error))),
            }
            sleep(PULSE).await;
        }
    }
}
