//! One simulated scanner: its stream, its breaks, its scans that wait for an answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, ConnectResponse};
use ovomesh_api::time;
use ovomesh_mesh::{Backoff, explain};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::generate::{Made, Supply};
use super::ledger::Ledger;
use super::plan::Plan;
use super::tour::Tour;
use crate::{Global, scanner};

/// After the half-close the server ends the stream within this time, or it is left.
const LEAVE: Duration = Duration::from_secs(2);

/// What all scanners of a run share.
pub(crate) struct Run {
    pub(crate) global: Global,
    pub(crate) plan: Arc<Plan>,
    pub(crate) tour: Arc<Tour>,
    /// Time from the intended send until the verdict is due.
    pub(crate) budget: Duration,
    pub(crate) ledger: Mutex<Ledger>,
    /// Set when nothing is waited for any more.
    pub(crate) finish: CancellationToken,
}

/// When the run began, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began {
    pub(crate) instant: Instant,
    pub(crate) clock: Timestamp,
}

impl Run {
    /// The account. Held for the time of an entry, never across a wait.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}

/// An open stream: scans in, answers out.
pub(crate) struct Stream {
    scans: mpsc::Sender<Outgoing>,
    answers: Streaming<ConnectResponse>,
}

/// A scan on its way to the transport.
#[derive(Clone)]
pub(crate) struct Outgoing {
    run: Arc<Run>,
    began: Began,
    made: Made,
}

impl Outgoing {
    fn left(&self, now: Instant) -> Duration {
        let due = self.began.instant + self.run.plan.sends[self.made.n as usize].at + self.run.budget;
        due.saturating_duration_since(now)
    }

    /// The message, with what is left of its budget at this moment: called when the transport takes it.
    fn write(self) -> ConnectRequest {
        let left = self.left(Instant::now());
        let Made { n, samples, crc32c } = self.made;
        let send = &self.run.plan.sends[n as usize];
        let mut scan = self.run.tour.scan(n, send, self.began.clock, samples, crc32c);
        scan.budget = Some(time::budget_to_pb(left));
        ConnectRequest { message: Some(Up::Scan(scan)) }
    }
}

/// One scanner.
pub(crate) struct Lane {
    run: Arc<Run>,
    index: u32,
    supply: Supply,
    due: mpsc::UnboundedReceiver<u32>,
    /// The next scan's time has come.
    is_due: bool,
    /// Handed to the transport and not answered. Memory: as many scans as the server lets in flight.
    unanswered: BTreeMap<u32, Outgoing>,
    /// Decided and not known to be stored.
    uncommitted: BTreeSet<u32>,
    /// To be sent before anything new.
    first: VecDeque<Outgoing>,
}

/// How a stream ended.
enum End {
    Finished,
    Broken(String),
}

impl Lane {
    pub(crate) fn new(run: Arc<Run>, index: u32, supply: Supply, due: mpsc::UnboundedReceiver<u32>) -> Self {
        let (unanswered, uncommitted, first) = Default::default();
        Self { run, index, supply, due, is_due: false, unanswered, uncommitted, first }
    }

    /// Connects and says Hello.
    pub(crate) async fn open(&self) -> anyhow::Result<Stream> {
        // A place for one scan: it waits here until the transport can take it, and gets its budget then.
        let (scans, outgoing) = mpsc::channel(1);
        let outgoing = ReceiverStream::new(outgoing).map(Outgoing::write);
        let Run { global, tour, .. } = &*self.run;
        let serial = format!("{}-{}", tour.run, self.index + 1);
        let hello =
            scanner::hello("simulator", serial, tour.grid.bytes() as u64, vec![tour.line(self.index)]);
        let (_, answers) = scanner::open(global, hello, outgoing).await?;
        Ok(Stream { scans, answers })
    }

    /// Sends what is due and books what comes, over all breaks, until the run is finished.
    pub(crate) async fn work(mut self, mut stream: Stream, began: Began) {
        let mut backoff = Backoff::default();
        loop {
            let End::Broken(why) = self.follow(stream, began, &mut backoff).await else { return };
            self.broken(why);
            let Some(opened) = self.reopen(&mut backoff).await else { return };
            self.run.ledger().counts.reconnected += 1;
            stream = opened;
        }
    }

    /// What was not answered is sent again, before what was not sent.
    fn broken(&mut self, why: String) {
        let mut ledger = self.run.ledger();
        ledger.broken(why);
        for n in std::mem::take(&mut self.uncommitted) {
            ledger.unconfirmed(n);
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        self.first = unanswered.into_values().chain(std::mem::take(&mut self.first)).collect();
    }

    /// Tries again as long as the run lasts.
    async fn reopen(&self, backoff: &mut Backoff) -> Option<Stream> {
        let opening = async {
            loop {
                backoff.wait().await;
                match self.open().await {
                    Ok(stream) => return stream,
                    Err(error) => self.run.ledger().cause(format!("{error:#}")),
                }
            }
        };
        tokio::select! {
            stream = opening => Some(stream),
            () = self.run.finish.cancelled() => None,
        }
    }

    async fn follow(&mut self, stream: Stream, began: Began, backoff: &mut Backoff) -> End {
        let Stream { scans, mut answers } = stream;
        let mut scans = Some(scans);
        let finish = self.run.finish.clone();
        let leave = async {
            finish.cancelled().await;
            tokio::time::sleep(LEAVE).await;
        };
        tokio::pin!(leave);
        loop {
            tokio::select! {
                // Answers first: their time is measured.
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        backoff.reset();
                        self.book(answer, began);
                    }
                    _ if scans.is_none() => return End::Finished,
                    Ok(None) => return End::Broken("the server ended the stream".into()),
                    Err(status) => return End::Broken(explain(&status)),
                },
                // Dropping it is the half-close: the server answers what is left and ends the stream.
                () = finish.cancelled(), if scans.is_some() => scans = None,
                () = &mut leave => return End::Finished,
                () = hand_over(&mut *self, scans.as_ref(), began), if scans.is_some() => {}
            }
        }
    }

    fn book(&mut self, answer: ConnectResponse, began: Began) {
        let at = began.instant.elapsed();
        let mut ledger = self.run.ledger();
        match answer.message {
            Some(Down::Verdict(verdict)) => {
                if let Some(n) = ledger.verdict(&verdict, at) {
                    self.unanswered.remove(&n);
                    self.uncommitted.insert(n);
                }
            }
            Some(Down::Rejected(rejected)) => {
                if let Some(n) = ledger.rejected(&rejected) {
                    self.unanswered.remove(&n);
                }
            }
            Some(Down::Committed(committed)) => {
                if let Some(n) = ledger.committed(&committed.scan_id, at) {
                    self.uncommitted.remove(&n);
                }
            }
            // Agents' promises, paces and messages of later versions are of no use to a load that is fixed.
            Some(Down::Accepted(_) | Down::Advice(_) | Down::Welcome(_)) | None => {}
        }
    }

    /// The next scan once its time has come; waits for ever when there is none. Nothing is lost when the wait is given up.
    async fn next_due(&mut self) -> Made {
        if !self.is_due {
            match self.due.recv().await {
                Some(_) => self.is_due = true,
                None => return std::future::pending().await,
            }
        }
        // The generator makes them in the order in which they are due.
        let Some(made) = self.supply.next().await else { return std::future::pending().await };
        self.is_due = false;
        made
    }
}

/// Hands one scan to the transport once it is due and there is room. Nothing is lost when the wait is given up.
async fn hand_over(lane: &mut Lane, scans: Option<&mpsc::Sender<Outgoing>>, began: Began) {
    if lane.first.is_empty() {
        let made = lane.next_due().await;
        lane.first.push_back(Outgoing { run: lane.run.clone(), began, made });
    }
    // A closed channel means a broken stream: what broke it comes with the answers.
    let Some(Ok(room)) = futures::future::OptionFuture::from(scans.map(mpsc::Sender::reserve)).await else {
        return std::future::pending().await;
    };
    let Some(next) = lane.first.pop_front() else { return };
    let now = Instant::now();
    lane.run.ledger().sent(next.made.n, now.saturating_duration_since(began.instant), next.left(now));
    lane.unanswered.insert(next.made.n, next.clone());
    room.send(next);
}
