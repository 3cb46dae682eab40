//! A scanner on a line: it keeps each scan until an agent has it, and sends it again after a break.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ovomesh_api::pb::scan::v1::{Place, Scan};
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::scanner_service_client::ScannerServiceClient;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, Hello};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Endpoint;

use crate::book::Book;
use crate::eggs::Eggs;

/// Pause before another try to connect.
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
        let mut belt = tokio::time::interval(Duration::from_secs_f64(1.0 / self.rate));
        // Eggs do not wait for the program.
        belt.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut unaccepted = HashMap::<String, Scan>::new();
        let mut count = 0;
        loop {
            if self.stop.is_cancelled() && unaccepted.is_empty() {
                return;
            }
            if self.session(&mut belt, &mut unaccepted, &mut count).await.is_err() {
                // What is on the belt meanwhile is scanned all the same, and waits here.
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// One stream, until it breaks.
    async fn session(
        &self,
        belt: &mut tokio::time::Interval,
        unaccepted: &mut HashMap<String, Scan>,
        count: &mut usize,
    ) -> Result<(), Status> {
        let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let endpoint = Endpoint::from_shared(self.agent.clone()).map_err(unavailable)?;
        let channel =
            endpoint.connect_timeout(Duration::from_secs(2)).connect().await.map_err(unavailable)?;
        let (up, messages) = mpsc::channel(4);
        let hello = Up::Hello(Hello { protocol_version: 1, ..Hello::default() });
        let mut outbox: VecDeque<Up> = unaccepted.values().cloned().map(Up::Scan).collect();
        outbox.push_front(hello);
        let mut down =
            ScannerServiceClient::new(channel).connect(ReceiverStream::new(messages)).await?.into_inner();
        let mut no_room = VecDeque::new();
        let mut again = tokio::time::interval(NO_ROOM);
        loop {
            self.held.store(unaccepted.len(), Relaxed);
            if self.stop.is_cancelled() && unaccepted.is_empty() {
                return Ok(());
            }
            tokio::select! {
                _ = belt.tick(), if !self.stop.is_cancelled() => {
                    let id = format!("{}-{}", self.name, *count);
                    let scan = self.eggs.scan(&id, &self.place, *count);
                    *count += 1;
                    self.book.sent(&id, self.line);
                    unaccepted.insert(id, scan.clone());
                    outbox.push_back(Up::Scan(scan));
                }
                place = up.reserve(), if !outbox.is_empty() => {
                    let place = place.map_err(|_| Status::unavailable("the stream broke"))?;
                    place.send(ConnectRequest { message: outbox.pop_front() });
                }
                _ = again.tick() => outbox.extend(no_room.drain(..)),
                message = down.message() => match message?.and_then(|response| response.message) {
                    Some(Down::Accepted(accepted)) => {
                        unaccepted.remove(&accepted.scan_id);
                        self.book.accepted(&accepted.scan_id);
                    }
                    Some(Down::Verdict(verdict)) => self.book.told(verdict),
                    Some(Down::Rejected(rejected)) => {
                        self.book.refused(&rejected.scan_id, rejected.message);
                        match unaccepted.get(&rejected.scan_id).filter(|_| rejected.retryable) {
                            Some(scan) => no_room.push_back(Up::Scan(scan.clone())),
                            None => drop(unaccepted.remove(&rejected.scan_id)),
                        }
                    }
                    Some(_) => {}
                    None => return Err(Status::unavailable("the stream ended")),
                },
            }
        }
    }
}
