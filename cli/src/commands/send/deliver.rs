//! Sends scans over a session and books the answers; takes a broken session up again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures::StreamExt;
use ovomesh_api::pb::scan::v1::Scan;
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, ConnectResponse, Hello};
use ovomesh_api::thousands;
use ovomesh_mesh::Backoff;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::scans::{Found, Item};
use super::tell::Tell;
use crate::exit::Failure;
use crate::{Global, client, scanner};

/// Scans that may be unanswered at once: enough to keep every core of a machine busy.
const IN_FLIGHT: usize = 32;
/// A server that answers nothing for so long is given up: far more than any budget.
const PATIENCE: Duration = Duration::from_secs(60);
/// Committed is waited for so long after the last verdict.
const COMMIT: Duration = Duration::from_secs(10);
/// A session that breaks, or cannot be opened, so many times in a row without an answer is given up: some seconds.
const TRIES: u32 = 8;

/// Sends everything that is found. What cannot be sent is told; an error means that the rest was given up.
pub(crate) async fn deliver(
    global: &Global,
    hello: Hello,
    found: mpsc::Receiver<Found>,
    tell: &mut Tell<'_>,
) -> anyhow::Result<()> {
    let mut session = Session::open(global, &hello).await?;
    let mut delivery = Delivery::new(global, found);
    let mut backoff = Backoff::default();
    loop {
        let Err(mut why) = delivery.follow(session, tell).await? else { return Ok(()) };
        delivery.take_back(tell);
        session = loop {
            delivery.fruitless += 1;
            if delivery.fruitless > TRIES {
                return delivery.give_up(&why, tell);
            }
            if delivery.fruitless == 1 {
                backoff.reset();
            }
            backoff.wait().await;
            match Session::open(global, &hello).await {
                Ok(session) => break session,
                Err(error) => why = format!("{error:#}"),
            }
        };
    }
}

/// An open stream.
struct Session {
    scans: mpsc::Sender<Scan>,
    answers: Streaming<ConnectResponse>,
    /// The largest volume that may be sent.
    most_bytes: u64,
}

impl Session {
    async fn open(global: &Global, hello: &Hello) -> anyhow::Result<Self> {
        let (scans, outgoing) = mpsc::channel(1);
        let outgoing =
            ReceiverStream::new(outgoing).map(|scan| ConnectRequest { message: Some(Up::Scan(scan)) });
        let (welcome, answers) = scanner::open(global, hello.clone(), outgoing).await?;
        Ok(Self { scans, answers, most_bytes: welcome.max_volume_bytes })
    }
}

/// What is on its way, over all sessions.
struct Delivery<'a> {
    global: &'a Global,
    found: mpsc::Receiver<Found>,
    all_found: bool,
    waiting: VecDeque<Item>,
    /// By scan id; sent at this time.
    unanswered: HashMap<String, (Item, Instant)>,
    uncommitted: HashSet<String>,
    /// When an answer last came, or a scan was sent after a time without any.
    heard_at: Instant,
    /// Sessions that broke since the last answer.
    fruitless: u32,
}

impl<'a> Delivery<'a> {
    fn new(global: &'a Global, found: mpsc::Receiver<Found>) -> Self {
        Self {
            global,
            found,
            all_found: false,
            waiting: VecDeque::new(),
            unanswered: HashMap::new(),
            uncommitted: HashSet::new(),
            heard_at: Instant::now(),
            fruitless: 0,
        }
    }

    /// Sends and books until all is done; the inner error says why the session broke.
    async fn follow(&mut self, session: Session, tell: &mut Tell<'_>) -> anyhow::Result<Result<(), String>> {
        let Session { scans, mut answers, most_bytes } = session;
        loop {
            let answered = self.all_found && self.waiting.is_empty() && self.unanswered.is_empty();
            if answered && self.uncommitted.is_empty() {
                return Ok(Ok(()));
            }
            let has_room = !self.waiting.is_empty() && self.unanswered.len() < IN_FLIGHT;
            let patience = if answered { COMMIT } else { PATIENCE };
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => self.book(answer, tell)?,
                    Ok(None) => return Ok(Err("the server ended the stream".into())),
                    Err(status) => return Ok(Err(client::refused(&self.global.gateway, &status).to_string())),
                },
                // A closed channel means a broken stream: what broke it comes with the answers.
                Ok(room) = scans.reserve(), if has_room => self.send(room),
                found = self.found.recv(), if !self.all_found && self.waiting.is_empty() => {
                    self.take(found, most_bytes, tell)?;
                }
                () = tokio::time::sleep_until(self.heard_at + patience), if answered || !self.unanswered.is_empty() => {
                    if !answered {
                        return self.give_up(&format!("no answer for {} s", PATIENCE.as_secs()), tell).map(Ok);
                    }
                    tell.not_known_to_be_stored(self.uncommitted.len());
                    return Ok(Ok(()));
                }
            }
        }
    }

    fn send(&mut self, room: mpsc::Permit<'_, Scan>) {
        let Some(item) = self.waiting.pop_front() else { return };
        room.send(item.scan.clone());
        if self.unanswered.is_empty() {
            self.heard_at = Instant::now();
        }
        self.unanswered.insert(item.scan.scan_id.clone(), (item, Instant::now()));
    }

    fn take(&mut self, found: Option<Found>, most_bytes: u64, tell: &mut Tell<'_>) -> anyhow::Result<()> {
        match found {
            None => self.all_found = true,
            Some(Found::Done(files)) => tell.done(files),
            Some(Found::Rejected(why)) => tell.rejected(None, &why)?,
            Some(Found::Nothing(why)) => tell.failed(None, &why)?,
            Some(Found::Scan(item)) => {
                let bytes = item.scan.volume.as_ref().map_or(0, |volume| volume.samples.len() as u64);
                if bytes <= most_bytes {
                    self.waiting.push_back(*item);
                } else {
                    let (bytes, most) = (thousands(bytes), thousands(most_bytes));
                    tell.rejected(Some(&item), &format!("it has {bytes} bytes; this server takes {most}"))?;
                }
            }
        }
        Ok(())
    }

    fn book(&mut self, answer: ConnectResponse, tell: &mut Tell<'_>) -> anyhow::Result<()> {
        self.heard_at = Instant::now();
        match answer.message {
            Some(Down::Verdict(verdict)) => {
                if let Some((item, sent_at)) = self.unanswered.remove(&verdict.scan_id) {
                    self.fruitless = 0;
                    self.uncommitted.insert(verdict.scan_id.clone());
                    tell.verdict(&item, &verdict, sent_at.elapsed())?;
                }
            }
            Some(Down::Rejected(rejected)) => {
                if let Some((item, _)) = self.unanswered.remove(&rejected.scan_id) {
                    self.fruitless = 0;
                    tell.rejected(Some(&item), &rejected.message)?;
                }
            }
            Some(Down::Committed(committed)) => {
                self.uncommitted.remove(&committed.scan_id);
            }
            Some(Down::Welcome(_) | Down::Accepted(_) | Down::Advice(_)) | None => {}
        }
        Ok(())
    }

    /// After a break: what was not answered waits again. Whether a verdict was stored is not told by another session.
    fn take_back(&mut self, tell: &mut Tell<'_>) {
        tell.not_known_to_be_stored(self.uncommitted.len());
        self.uncommitted.clear();
        self.waiting.extend(self.unanswered.drain().map(|(_, (item, _))| item));
    }

    fn give_up(&mut self, why: &str, tell: &mut Tell<'_>) -> anyhow::Result<()> {
        let unanswered = self.unanswered.drain().map(|(_, (item, _))| item);
        for item in unanswered.chain(self.waiting.drain(..)) {
            tell.failed(Some(&item), "no answer")?;
        }
        let rest = if self.all_found { "" } else { "; files that were not read by then were not sent" };
        Err(Failure::NoServer(format!("gave up: {why}{rest}")).into())
    }
}
