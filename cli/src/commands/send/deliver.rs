//! Sends scans and prints their outcomes.

use std::collections::HashMap;
use std::time::Duration;

use ovomesh_api::Verdict;
use ovomesh_api::pb::scanner::v1::Hello;
use ovomesh_client::{Error, Event, Scanner, ScannerConfig};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::progress::Progress;
use super::scans::{Found, Item};
use crate::exit::Failure;
use crate::{Global, client};

/// Scans that may be unanswered at once: enough to keep every core of a machine busy.
const IN_FLIGHT: u32 = 32;
/// A server that answers nothing for this long is given up: far more than any budget.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sessions in a row that break, or cannot be opened, without an answer, before the server is given up: some seconds.
const TRIES: u32 = 9;

/// Sends everything that is found. What cannot be sent is printed; an error means that the rest was given up.
pub(crate) async fn deliver(
    global: &Global,
    hello: Hello,
    found: mpsc::Receiver<Found>,
    progress: &mut Progress<'_>,
) -> anyhow::Result<()> {
    let config = ScannerConfig {
        max_unanswered: IN_FLIGHT,
        answer_timeout: PATIENCE,
        max_tries: Some(TRIES),
        ..client::scanner(global, hello)?
    };
    let scanner = Scanner::connect(config).await.map_err(client::failure)?;
    Delivery { scanner, found, items: HashMap::new() }.run(progress).await
}

/// What is on its way.
struct Delivery {
    scanner: Scanner,
    found: mpsc::Receiver<Found>,
    /// Scans without an outcome by their id, and when each was sent.
    items: HashMap<String, (Item, Instant)>,
}

impl Delivery {
    async fn run(mut self, progress: &mut Progress<'_>) -> anyhow::Result<()> {
        loop {
            let has_room = self.scanner.waiting() == 0 && !self.scanner.is_finishing();
            tokio::select! {
                biased;
                event = self.scanner.next() => match event {
                    Ok(Some(Event::Broken(error))) if is_silent(&error) => return self.give_up(error, progress),
                    Ok(Some(event)) => self.book(event, progress)?,
                    Ok(None) => return Ok(()),
                    Err(Error::GaveUp { last, .. }) => return self.give_up(*last, progress),
                    Err(error) => return self.give_up(error, progress),
                },
                found = self.found.recv(), if has_room => self.take(found, progress)?,
            }
        }
    }

    fn take(&mut self, found: Option<Found>, progress: &mut Progress<'_>) -> anyhow::Result<()> {
        match found {
            None => self.scanner.finish(),
            Some(Found::Done(files)) => progress.done(files),
            Some(Found::Rejected(why)) => progress.rejected(None, &why)?,
            Some(Found::Nothing(why)) => progress.failed(None, &why)?,
            Some(Found::Scan(item)) => {
                self.scanner.send(item.scan.clone())?;
                self.items.insert(item.scan.scan_id.clone(), (*item, Instant::now()));
            }
        }
        Ok(())
    }

    fn book(&mut self, event: Event, progress: &mut Progress<'_>) -> anyhow::Result<()> {
        match event {
            Event::Sent { scan_id } => {
                if let Some((_, sent_at)) = self.items.get_mut(&scan_id) {
                    *sent_at = Instant::now();
                }
            }
            Event::Verdict(verdict) => {
                if let Some((item, sent_at)) = self.items.remove(&verdict.scan_id) {
                    progress.verdict(&item, &Verdict::from_pb(*verdict), sent_at.elapsed())?;
                }
            }
            Event::Rejected(rejected) => {
                if let Some((item, _)) = self.items.remove(&rejected.scan_id) {
                    progress.rejected(Some(&item), &rejected.message)?;
                }
            }
            Event::Unconfirmed { .. } => progress.not_known_to_be_stored(1),
            // What else happens changes no outcome.
            _ => {}
        }
        Ok(())
    }

    fn give_up(self, why: Error, progress: &mut Progress<'_>) -> anyhow::Result<()> {
        for scan in self.scanner.abandon() {
            let item = self.items.get(&scan.scan_id).map(|(item, _)| item);
            progress.failed(item, "no answer")?;
        }
        let why = client::failure(why);
        let rest = if self.found.is_closed() && self.found.is_empty() {
            ""
        } else {
            "; files that were not read by then were not sent"
        };
        Err(Failure::NoServer(format!("gave up: {why}{rest}")).into())
    }
}

/// Whether a session was open and brought nothing for too long.
fn is_silent(error: &Error) -> bool {
    matches!(error, Error::Late { limit, .. } if *limit == PATIENCE)
}
