//! A scanner on a line: it keeps each scan until an agent has it, and sends it again after a break.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Place;
use ovomesh_client::{Event, Keep, ScannerConfig};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::book::Book;
use crate::eggs::Eggs;

/// Pause before another try to open the first session; from then on the client waits as it does on a line.
const AGAIN: Duration = Duration::from_millis(100);
/// Pause before a scan is sent again that an agent had no room for.
const NO_ROOM: Duration = Duration::from_millis(200);

/// A scanner.
pub struct Scanner {
    /// Where its agent listens.
    pub agent: String,
    /// Its line, and the number of that line.
    pub place: Place,
    /// See `place`.
    pub line: usize,
    /// Scans a second.
    pub rate: f64,
    /// Begins the id of each scan.
    pub name: String,
    /// What it scans.
    pub eggs: Eggs,
    /// Where it writes down what it is told.
    pub book: Arc<Book>,
    /// How many scans it holds that no agent has: a conveyor that is blocked shows here.
    pub held: Arc<AtomicUsize>,
    /// No more eggs come.
    pub stop: CancellationToken,
}

impl Scanner {
    /// Scans until it is stopped, and then until an agent has every scan.
    pub async fn run(self) {
        let mut client = self.connect().await;
        let mut belt = tokio::time::interval(Duration::from_secs_f64(1.0 / self.rate));
        // Eggs do not wait for the program.
        belt.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut again = tokio::time::interval(NO_ROOM);
        // The number of each scan that no agent has; of these, those that an agent had no room for.
        let (mut unaccepted, mut no_room) = (HashMap::<String, usize>::new(), Vec::<String>::new());
        let mut count = 0;
        while !(self.stop.is_cancelled() && unaccepted.is_empty()) {
            self.held.store(unaccepted.len(), Relaxed);
            tokio::select! {
                _ = belt.tick(), if !self.stop.is_cancelled() => {
                    let id = format!("{}-{count}", self.name);
                    self.book.sent(&id, self.line);
                    self.send(&mut client, &id, count);
                    unaccepted.insert(id, count);
                    count += 1;
                }
                _ = again.tick() => for id in no_room.drain(..) {
                    if let Some(n) = unaccepted.get(&id) {
                        self.send(&mut client, &id, *n);
                    }
                },
                event = client.next() => match event {
                    Ok(Some(Event::Accepted { scan_id })) => {
                        unaccepted.remove(&scan_id);
                        self.book.accepted(&scan_id);
                    }
                    Ok(Some(Event::Verdict(verdict))) => self.book.told(*verdict),
                    Ok(Some(Event::Rejected(rejected))) => {
                        if rejected.retryable {
                            no_room.push(rejected.scan_id.clone());
                        } else {
                            unaccepted.remove(&rejected.scan_id);
                        }
                        self.book.refused(&rejected.scan_id, rejected.message);
                    }
                    Ok(Some(Event::Unexpected { scan_id, answer })) => self.book.unexpected(&scan_id, answer),
                    Ok(_) => {}
                    Err(error) => eprintln!("{}: {error}", self.name),
                },
            }
        }
        self.held.store(0, Relaxed);
    }

    async fn connect(&self) -> ovomesh_client::Scanner {
        let mut config = ScannerConfig::new(self.agent.parse().expect("a URL"));
        config.keep = Keep::UntilAccepted;
        // Every refusal is written down, so none is hidden by a retry.
        config.retry_overloaded = Duration::ZERO;
        // Scans share a few images, so those that no agent has yet take little.
        (config.max_waiting, config.max_waiting_bytes) = (usize::MAX, u64::MAX);
        loop {
            match ovomesh_client::Scanner::connect(config.clone()).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    fn send(&self, client: &mut ovomesh_client::Scanner, id: &str, n: usize) {
        client.send(self.eggs.scan(id, &self.place, n)).expect("any number may wait, and ids differ");
    }
}
