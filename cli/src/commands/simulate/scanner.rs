//! One simulated scanner: sends what is due, and books the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ovomesh_api::time;
use ovomesh_client::{Error, Event, Scanner, ScannerConfig};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::content::ScanContent;
use super::generate::{Made, Supply};
use super::ledger::Ledger;
use super::plan::Plan;
use crate::{Global, client, scanner};

/// After the half-close the server ends the stream within this time, or it is left.
const LEAVE: Duration = Duration::from_secs(2);

/// What all scanners of a run share.
pub(crate) struct Run {
    pub(crate) global: Global,
    pub(crate) plan: Arc<Plan>,
    pub(crate) content: Arc<ScanContent>,
    /// Time from the intended send until the verdict is due.
    pub(crate) budget: Duration,
    pub(crate) ledger: Mutex<Ledger>,
    /// Set when nothing is waited for any more.
    pub(crate) finish: CancellationToken,
}

/// When the run begins, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartTime {
    pub(crate) instant: Instant,
    pub(crate) clock: Timestamp,
}

impl Run {
    /// The account. Held for the time of an entry, never across a wait.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}

/// One scanner of a run.
pub(crate) struct SimulatedScanner {
    run: Arc<Run>,
    supply: Supply,
    due: mpsc::UnboundedReceiver<u32>,
    /// The next scan is due.
    is_due: bool,
    scanner: Scanner,
    /// A session is open.
    is_open: bool,
}

impl SimulatedScanner {
    pub(crate) async fn open(
        run: Arc<Run>,
        index: u32,
        supply: Supply,
        due: mpsc::UnboundedReceiver<u32>,
    ) -> anyhow::Result<Self> {
        let Run { global, content, .. } = &*run;
        let serial = format!("{}-{}", content.run, index + 1);
        let hello =
            scanner::hello("simulator", serial, content.grid.bytes() as u64, vec![content.line(index)]);
        let config = ScannerConfig {
            // The load is fixed: what the server refuses is counted.
            retry_overloaded: Duration::ZERO,
            max_unanswered_bytes: u64::MAX,
            ..client::scanner(global, hello)?
        };
        let mut scanner = Scanner::connect(config).await.map_err(client::failure)?;
        // The event of the session that is open.
        scanner.next().await.map_err(client::failure)?;
        Ok(Self { run, supply, due, is_due: false, scanner, is_open: true })
    }

    /// Sends what is due and books the answers, over all breaks, until the run is finished.
    pub(crate) async fn work(mut self, start: StartTime) {
        let finish = self.run.finish.clone();
        let leave = async {
            finish.cancelled().await;
            tokio::time::sleep(LEAVE).await;
        };
        tokio::pin!(leave);
        loop {
            let is_sending = !self.scanner.is_finishing();
            // A scan waits here until the transport can take it: it is due, and late from now on.
            let has_room = is_sending && self.scanner.waiting() == 0;
            tokio::select! {
                // Answers first: their time is measured.
                biased;
                event = self.scanner.next() => match event {
                    // All answers that are still waited for have arrived, or are lost.
                    Ok(None | Some(Event::Broken(_))) | Err(_) if !is_sending => return,
                    Ok(Some(event)) => self.book(event, start),
                    Ok(None) => return,
                    Err(error) => self.broken(&error),
                },
                () = finish.cancelled(), if is_sending => {
                    if !self.is_open || self.scanner.waiting() > 0 {
                        return;
                    }
                    self.scanner.finish();
                }
                () = &mut leave => return,
                made = next_due(&mut self.due, &mut self.is_due, &mut self.supply), if has_room => self.send(made, start),
            }
        }
    }

    fn send(&mut self, made: Made, start: StartTime) {
        let Made { n, samples, crc32c } = made;
        let send = &self.run.plan.sends[n as usize];
        let mut scan = self.run.content.scan(n, send, start.clock, samples, crc32c);
        scan.budget = Some(time::budget_to_pb(self.left(n, start)));
        if let Err(error) = self.scanner.send(scan) {
            self.run.ledger().cause(error.to_string());
        }
    }

    /// What is left of the time until the verdict of scan `n` is due.
    fn left(&self, n: u32, start: StartTime) -> Duration {
        let due = start.instant + self.run.plan.sends[n as usize].at + self.run.budget;
        due.saturating_duration_since(Instant::now())
    }

    fn book(&mut self, event: Event, start: StartTime) {
        let at = start.instant.elapsed();
        let number = |scan_id: &str| self.run.content.number_of(scan_id);
        let mut ledger = self.run.ledger();
        match event {
            Event::Sent { scan_id } => {
                if let Some(n) = number(&scan_id) {
                    ledger.sent(n, at, self.left(n, start));
                }
            }
            Event::Verdict(verdict) => ledger.verdict(&verdict, at),
            Event::Rejected(rejected) => ledger.rejected(&rejected),
            Event::Committed { scan_id } => ledger.committed(&scan_id, at),
            Event::Unconfirmed { scan_id } => {
                if let Some(n) = number(&scan_id).filter(|_| !self.scanner.is_finishing()) {
                    ledger.unconfirmed(n);
                }
            }
            Event::Unexpected { scan_id, answer } => {
                if matches!(answer, "Verdict" | "Rejected") {
                    ledger.unexpected(&scan_id);
                }
            }
            Event::Opened(_) => {
                self.is_open = true;
                ledger.counts.reconnected += 1;
            }
            Event::Broken(error) => {
                drop(ledger);
                self.broken(&error);
            }
            // Agents' promises and paces are of no use to a load that is fixed.
            Event::Accepted { .. } | Event::Advice(_) => {}
        }
    }

    /// A session broke, or could not be opened again.
    fn broken(&mut self, error: &Error) {
        let mut ledger = self.run.ledger();
        if std::mem::take(&mut self.is_open) {
            ledger.broken(error.to_string());
        } else {
            ledger.cause(error.to_string());
        }
    }
}

/// The next scan once it is due; waits for ever when there is none. Nothing is lost when the wait is given up.
async fn next_due(due: &mut mpsc::UnboundedReceiver<u32>, is_due: &mut bool, supply: &mut Supply) -> Made {
    if !*is_due {
        match due.recv().await {
            Some(_) => *is_due = true,
            None => return std::future::pending().await,
        }
    }
    // The generator makes them in the order in which they are due.
    let Some(made) = supply.next().await else { return std::future::pending().await };
    *is_due = false;
    made
}
