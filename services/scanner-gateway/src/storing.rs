//! Rows on their way to the store: kept until they are durable, whatever becomes of the session they came from.

use std::sync::Arc;

use ovomesh_api::pb;
use ovomesh_api::stages::Append;
use ovomesh_api::{Fault, Row};
use ovomesh_mesh::{Backoff, CallError, Request};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::describe::describe;
use crate::load::Counted;
use crate::outage::{Outage, OutageEvent};

/// Hands rows to results-store.
#[derive(Clone)]
pub struct Storing {
    store: Counted<Append>,
    room: Arc<Semaphore>,
    most: usize,
    drain: CancellationToken,
    outage: Arc<Mutex<Outage>>,
}

/// How it ended.
#[derive(Debug)]
pub enum Stored {
    /// Durable in every table.
    Committed { site: String, scan_id: String },
    /// The store will never take it.
    Refused { site: String, scan_id: String, message: String },
    /// The gateway had to leave first.
    GaveUp,
}

impl Storing {
    /// At most `most` rows wait at a time, over all sessions.
    pub fn new(store: Counted<Append>, most: usize, drain: CancellationToken) -> Self {
        let outage = Arc::default();
        Self { store, room: Arc::new(Semaphore::new(most)), most, drain, outage }
    }

    /// Room for one row, reserved before its scan is begun: a verdict that is sent can always be stored.
    pub fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_owned().ok()
    }

    /// Whether there is room for one.
    pub fn room(&self) -> bool {
        self.room.available_permits() > 0
    }

    /// Waits until there is room for one.
    pub async fn wait_for_room(&self) {
        // The permit is given back at once: whoever comes first takes it.
        let _ = self.room.acquire().await;
    }

    /// The store, in one line.
    pub fn details(&self) -> (String, String) {
        let (name, pool) = describe(&self.store.pool);
        (name, format!("{pool}, {} rows not yet durable", self.most - self.room.available_permits()))
    }

    /// Rows have no deadline: they are small, and each must be stored.
    fn request(row: &Row) -> Request<pb::scan::v1::Row> {
        Request { body: row.to_pb(), deadline: None, traceparent: String::new() }
    }

    /// Stores a row. Comes back when it is durable, refused, or when the gateway leaves.
    pub async fn store(self, row: Row, permit: OwnedSemaphorePermit) -> Stored {
        let (site, scan_id) = (row.meta.place.site().to_string(), row.meta.scan_id.to_string());
        let mut backoff = Backoff::default();
        let mut delayed: Option<Delayed<'_>> = None;
        self.store.load.arrived();
        let going = self.store.load.begin();
        loop {
            let error = match self.store.pool.call(Self::request(&row)).await {
                Ok(reply) => {
                    going.done(reply.worked);
                    drop(permit);
                    delayed.into_iter().for_each(Delayed::settled);
                    return Stored::Committed { site, scan_id };
                }
                Err(CallError::Failed { code, message, .. }) if Fault::of(code) == Fault::Invalid => {
                    metrics::counter!("ovomesh_gateway_rows_refused_total").increment(1);
                    tracing::error!(scan_id, message, "the store refused a row for good");
                    delayed.into_iter().for_each(Delayed::settled);
                    return Stored::Refused { site, scan_id, message };
                }
                Err(error) => error,
            };
            self.log_event(|outage| outage.failed(delayed.is_none(), Instant::now()), &error.to_string());
            delayed.get_or_insert(Delayed { storing: &self, is_settled: false });
            tokio::select! {
                () = backoff.wait() => {}
                () = self.drain.cancelled() => {
                    tracing::debug!(scan_id, %error, "left without storing a row");
                    return Stored::GaveUp;
                }
            }
        }
    }

    /// One line for many rows: an outage at full load would otherwise be thousands a second.
    fn log_event(&self, change: impl FnOnce(&mut Outage) -> Option<OutageEvent>, error: &str) {
        let event = change(&mut self.outage.lock());
        match event {
            Some(OutageEvent::Begun) => {
                tracing::warn!(error, "the store takes no rows; they wait here and are sent again");
            }
            Some(OutageEvent::Lasts(time, waiting, so_far)) => {
                let seconds = time.as_secs();
                tracing::warn!(error, seconds, waiting, tries = so_far.tries, "the store takes no rows yet");
            }
            Some(OutageEvent::Over(time, all)) if all.left > 0 => {
                let seconds = time.as_secs();
                let (rows, left) = (all.rows, all.left);
                tracing::error!(seconds, rows, left, "left without storing rows: their senders have them");
            }
            Some(OutageEvent::Over(time, all)) => {
                let seconds = time.as_secs();
                tracing::warn!(seconds, rows = all.rows, tries = all.tries, "the store takes rows again");
            }
            None => {}
        }
    }
}

/// A row whose first try failed. Dropped before it is settled, the outage goes on without it: its sender has the row.
struct Delayed<'a> {
    storing: &'a Storing,
    is_settled: bool,
}

impl Delayed<'_> {
    /// It is stored, or refused for good.
    fn settled(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Delayed<'_> {
    fn drop(&mut self) {
        self.storing.log_event(|outage| outage.ended(!self.is_settled, Instant::now()), "");
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::stages::MAIN_POOL;
    use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, StreamPool, discover};

    use super::*;
    use crate::load::LoadCounters;

    #[tokio::test(start_paused = true)]
    async fn a_row_that_is_let_go_ends_its_outage() {
        let lifecycle = Lifecycle::new();
        let config = PoolConfig { max_queued_messages: 0, ..PoolConfig::default() };
        let pool = StreamPool::start(config, Connector::default(), discover::fixed([]), &lifecycle);
        let store = Counted { pool, load: LoadCounters::default().add::<Append>(MAIN_POOL) };
        let storing = Storing::new(store, 1, CancellationToken::new());
        let permit = storing.reserve().unwrap();
        let storing_it = storing.clone().store(crate::recent::tests::row("a"), permit);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(3), storing_it).await.is_err());
        let next = storing.outage.lock().failed(true, Instant::now());
        assert_eq!(next, Some(OutageEvent::Begun), "nothing waited any more");
        assert!(storing.room(), "its room is free");
    }
}
