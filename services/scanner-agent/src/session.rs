//! One session of one scanner: takes scans while some may be unanswered, and tells how far each one is.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ovomesh_api::pb::scan::v1::{RejectCode, Scan};
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::{Accepted, Committed, ConnectRequest, ConnectResponse, Hello, Welcome};
use ovomesh_api::scan::{sample_bytes, site_of};
use ovomesh_api::{Advisor, CutScan, Fault, Invalid, LineId, Row, Tray, time};
use ovomesh_bootstrap::{Hold, Messages, Skipped, Why};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::agent::{Admission, Agent};
use crate::in_flight::Progress;
use crate::memory::Room;

/// Version of the contract.
const PROTOCOL_VERSION: u32 = 1;
/// Scans that may be unanswered: 2 s of the fastest line, 18 times over.
const IN_FLIGHT: usize = 256;
/// Verdicts whose Committed is waited for; of more the scanner is not told. They are stored all the same.
const UNCOMMITTED: usize = 4_096;
/// Until a scan is on disk, its samples are in memory as it came, as its record, and on their way.
const COPIES: u64 = 3;
/// A scanner that reads nothing for this long is closed.
const STALL: Duration = Duration::from_secs(10);
/// A scanner says Hello within this time, or leaves.
const GREETING: Duration = Duration::from_secs(10);

/// What goes back to a scanner.
pub type Outgoing = ReceiverStream<Result<ConnectResponse, Status>>;

/// Opens a session; its future serves it to its end.
pub fn open(
    agent: Arc<Agent>,
    inbound: Messages<ConnectRequest>,
    drain: CancellationToken,
) -> (impl Future<Output = ()> + Send, Outgoing) {
    let (out, outgoing) = mpsc::channel(IN_FLIGHT);
    let session = Session {
        agent,
        out: Out { messages: out, site: String::new(), stalled: CancellationToken::new() },
        room: Arc::new(Semaphore::new(IN_FLIGHT)),
        open: None,
        advisor: Advisor::default(),
    };
    (session.run(inbound, drain), ReceiverStream::new(outgoing))
}

struct Session {
    agent: Arc<Agent>,
    out: Out,
    room: Arc<Semaphore>,
    /// Set by Hello.
    open: Option<Open>,
    advisor: Advisor,
}

struct Open {
    lines: Vec<LineId>,
    max_volume_bytes: u64,
}

/// A scan whose scanner waits for an answer.
struct Unanswered {
    site: String,
    id: String,
    admission: Admission,
    /// Why its image can never be computed; its verdict is UNDECIDED then.
    rejected: Option<Invalid>,
}

impl Session {
    async fn run(mut self, mut inbound: Messages<ConnectRequest>, drain: CancellationToken) {
        let agent = self.agent.clone();
        inbound.ask_for_room(move |bytes| {
            let agent = agent.clone();
            Box::pin(async move { Ok(Box::new(agent.memory.message(bytes).await) as Hold) })
        });
        let mut answering = FuturesUnordered::new();
        let greeting = tokio::time::sleep(GREETING);
        tokio::pin!(greeting);
        let end = loop {
            let room = self.room.clone();
            let next = async {
                let place = room.acquire_owned().await;
                (place, inbound.next().await)
            };
            tokio::select! {
                biased;
                Some(()) = answering.next(), if !answering.is_empty() => {}
                () = self.out.gone() => return,
                () = drain.cancelled() => break Err(Fault::Unavailable.status("this agent is leaving; connect again")),
                () = &mut greeting, if self.open.is_none() => {
                    break Err(Fault::Expired.status(format!("no Hello within {} s; send it first", GREETING.as_secs())));
                }
                (place, received) = next => match received {
                    Ok(Some(received)) => {
                        let wants_committed = answering.len() < UNCOMMITTED;
                        let unanswered = match received.message {
                            Ok(message) => {
                                let unanswered = self.read(message, received.began).await;
                                drop(received.room);
                                unanswered
                            }
                            Err(skipped) => self.skipped(&skipped).await,
                        };
                        if let (Some(unanswered), Ok(place)) = (unanswered, place) {
                            answering.push(answer(self.out.about(&unanswered.site), unanswered, place, wants_committed));
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(Fault::unreadable(status)),
                },
            }
        };
        // What was taken is answered; what is stored later is not waited for when the agent leaves.
        let answered = async {
            while self.room.available_permits() < IN_FLIGHT || (end.is_ok() && !answering.is_empty()) {
                if answering.next().await.is_none() {
                    break;
                }
            }
        };
        tokio::select! {
            () = answered => {}
            () = self.out.gone() => return,
            () = drain.cancelled(), if end.is_ok() => {}
        }
        if let Err(status) = end {
            // A scanner that is gone needs no status.
            let _ = self.out.messages.send(Err(status)).await;
        }
    }

    /// Reads one message; a scan that is kept is left to answer.
    async fn read(&mut self, message: ConnectRequest, received: Instant) -> Option<Unanswered> {
        match message.message {
            Some(Up::Hello(hello)) => self.hello(hello).await,
            Some(Up::Scan(scan)) => {
                self.advise().await;
                let (id, site) = (scan.scan_id.clone(), site_of(scan.place.as_ref()));
                let room = self.agent.memory.working(COPIES * sample_bytes(&scan)).await;
                match self.scan(&scan, received, room) {
                    Ok((admission, rejected)) => return Some(Unanswered { site, id, admission, rejected }),
                    Err(invalid) => {
                        self.out.about(&site).send(Down::Rejected(invalid.rejected(&id))).await;
                    }
                }
            }
            Some(Up::TrayOpened(opened)) => self.tray(opened.into()).await,
            Some(Up::TrayClosed(closed)) => self.tray(closed.into()).await,
            None => {
                let limit = "one of the messages of this contract, version 1";
                self.reject(&Invalid::field("message", "", limit)).await;
            }
        }
        None
    }

    /// Answers a message that was skipped. A scan that is too large and says whose it is gets its UNDECIDED first.
    async fn skipped(&self, skipped: &Skipped) -> Option<Unanswered> {
        let cut = CutScan::read(skipped.bytes, &skipped.head, &skipped.tail);
        let scan = cut.as_ref().map(|cut| cut.scan.clone()).unwrap_or_default();
        let (id, site) = (scan.scan_id.clone(), site_of(scan.place.as_ref()));
        let decided = match (&self.open, &skipped.why) {
            (None, _) => Err(Invalid::no_hello()),
            (Some(_), Why::NoRoom(why)) => Err(Invalid::overloaded("the agent's room", why)),
            (Some(open), Why::TooLarge(limit)) => {
                let error = CutScan::error(cut.as_ref(), skipped.bytes, *limit);
                self.agent.decide_refused(&scan, &open.lines, error)
            }
        };
        match decided {
            Ok((admission, error)) => Some(Unanswered { site, id, admission, rejected: Some(error) }),
            Err(error) => {
                self.out.about(&site).send(Down::Rejected(error.rejected(&id))).await;
                None
            }
        }
    }

    async fn hello(&mut self, hello: Hello) {
        if self.open.is_some() {
            return self.reject(&Invalid::field("hello", "a second one", "sent once")).await;
        }
        if hello.protocol_version != PROTOCOL_VERSION {
            let limit = format!("{PROTOCOL_VERSION}, the only version this agent speaks");
            let invalid = Invalid::field("hello.protocol_version", hello.protocol_version, limit);
            return self.reject(&invalid).await;
        }
        let most = self.agent.settings.max_volume_bytes;
        let max_volume_bytes =
            if hello.max_volume_bytes == 0 { most } else { hello.max_volume_bytes.min(most) };
        let lines = match LineId::parse_all(&hello.lines) {
            Ok(lines) => lines,
            Err(invalid) => return self.reject(&invalid).await,
        };
        self.open = Some(Open { lines, max_volume_bytes });
        let welcome = Welcome {
            server_time: Some(time::to_pb(self.agent.clock.now())),
            max_in_flight: u32::try_from(IN_FLIGHT).unwrap_or(u32::MAX),
            max_volume_bytes,
            server_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.out.send(Down::Welcome(welcome)).await;
    }

    async fn tray(&self, tray: Tray) {
        let out = self.out.about(&site_of(tray.place.as_ref()));
        let accepted = match &self.open {
            Some(open) => tray.accept(&open.lines),
            None => Err(Invalid::no_hello()),
        };
        metrics::counter!("ovomesh_agent_trays_total", "accepted" => accepted.is_ok().to_string())
            .increment(1);
        out.send(accepted.map_or_else(|error| Down::Rejected(error.rejected("")), Down::TrayAccepted)).await;
    }

    /// The line should slow down before a scan has to be refused.
    async fn advise(&mut self) {
        if let Some(advice) = self.advisor.advise(self.agent.fullness(), "the agent's spool") {
            self.out.send(Down::Advice(advice)).await;
        }
    }

    /// A scan that is kept; with the reason, when it is kept only as UNDECIDED.
    fn scan(
        &self,
        scan: &Scan,
        received: Instant,
        room: Room,
    ) -> Result<(Admission, Option<Invalid>), Invalid> {
        let Some(open) = &self.open else {
            return Err(Invalid::no_hello());
        };
        match self.agent.take(scan.clone(), &open.lines, open.max_volume_bytes, received, room) {
            Ok(admission) => Ok((admission, None)),
            Err(why) => {
                let (admission, why) = self.agent.decide_refused(scan, &open.lines, why)?;
                Ok((admission, Some(why)))
            }
        }
    }

    /// Rejects a message that is about no scan.
    async fn reject(&self, invalid: &Invalid) {
        self.out.send(Down::Rejected(invalid.rejected(""))).await;
    }
}

/// Tells a scanner how far its scan is. Its place is free again when it has its verdict.
async fn answer(out: Out, unanswered: Unanswered, place: OwnedSemaphorePermit, wants_committed: bool) {
    let Unanswered { id, admission, rejected, .. } = unanswered;
    if let Some(invalid) = rejected {
        // Sent when its UNDECIDED is on disk: the scanner need not send it again then.
        let answer = match admission.row().await {
            Ok(_) => invalid,
            Err(why) => not_kept(&why),
        };
        out.send(Down::Rejected(answer.rejected(&id))).await;
        return;
    }
    match admission {
        Admission::Stored(row) => {
            out.send(Down::Accepted(Accepted { scan_id: id.clone() })).await;
            out.verdict(row.row()).await;
            drop(place);
            out.send(Down::Committed(Committed { scan_id: id })).await;
        }
        Admission::InFlight(progress) => follow(out, id, progress, place, wants_committed).await,
    }
}

async fn follow(
    out: Out,
    id: String,
    mut progress: watch::Receiver<Progress>,
    place: OwnedSemaphorePermit,
    wants_committed: bool,
) {
    let reached = |progress: &Progress| !matches!(progress, Progress::Coming);
    let Ok(now) = progress.wait_for(reached).await.map(|progress| progress.clone()) else { return };
    if let Progress::Refused(why) = now {
        out.send(Down::Rejected(not_kept(&why).rejected(&id))).await;
        return;
    }
    out.send(Down::Accepted(Accepted { scan_id: id.clone() })).await;
    let released = |progress: &Progress| matches!(progress, Progress::Released(_) | Progress::Stored(_));
    let Ok(now) = progress.wait_for(released).await.map(|progress| progress.clone()) else { return };
    if let Progress::Released(row) | Progress::Stored(row) = now {
        out.verdict(row.row()).await;
    }
    drop(place);
    if wants_committed && progress.wait_for(|now| matches!(now, Progress::Stored(_))).await.is_ok() {
        out.send(Down::Committed(Committed { scan_id: id })).await;
    }
}

fn not_kept(why: &str) -> Invalid {
    let message = format!("the agent cannot keep this scan: {why}");
    Invalid::field("scan", "", "within the agent's spool").because(RejectCode::Overloaded, message)
}

/// The way back.
#[derive(Clone)]
struct Out {
    messages: mpsc::Sender<Result<ConnectResponse, Status>>,
    /// Of the scan that the messages are about; empty when they are about none.
    site: String,
    /// Set when nothing was read for too long.
    stalled: CancellationToken,
}

impl Out {
    /// The way back for what is about a scan of this site.
    fn about(&self, site: &str) -> Self {
        Self { site: site.to_owned(), ..self.clone() }
    }

    async fn send(&self, message: Down) {
        let response = ConnectResponse { message: Some(message), site: self.site.clone() };
        let sent = self.messages.send(Ok(response));
        if tokio::time::timeout(STALL, sent).await.is_err() {
            self.stalled.cancel();
        }
    }

    async fn verdict(&self, row: &Row) {
        self.send(Down::Verdict(row.verdict.to_pb(&row.meta.scan_id))).await;
    }

    /// The scanner left, or reads nothing.
    async fn gone(&self) {
        tokio::select! {
            () = self.messages.closed() => {}
            () = self.stalled.cancelled() => {}
        }
    }
}
