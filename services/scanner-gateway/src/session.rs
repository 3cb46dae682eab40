//! One stream of one peer: reads while there is room, answers as answers come, and ends in good order.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ovomesh_api::pb::scan::v1::{self as pb, Rejected};
use ovomesh_api::pb::scanner::v1::Advice;
use ovomesh_api::scan::{sample_bytes, site_of};
use ovomesh_api::{Advisor, CutScan, Fault, Invalid, LineId, Row, Tray, VALUE_BYTES, shorten_to};
use ovomesh_bootstrap::{
    Connection, Hold, MESSAGE_WITHOUT_ROOM, Messages, Received, Skipped, Why, warn_seldom,
};
use ovomesh_mesh::{Lifecycle, Peer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::{Request, Status, Streaming};

use crate::HEADER_BYTES;
use crate::dialect::{Dialect, FromPeer, Hello, PROTOCOL_VERSION, ToPeer};
use crate::gateway::{Answer, Gateway};
use crate::memory::MAX_IN_FLIGHT;
use crate::outbox::{Outbox, Outgoing};
use crate::storing::Stored;

/// A peer says Hello within this time, or leaves.
const GREETING: Duration = Duration::from_secs(10);
/// Scans that may be unanswered, for one session.
const IN_FLIGHT: usize = MAX_IN_FLIGHT as usize;
/// Rows that may wait for the store, for one session.
const ROW_CREDIT: usize = 1_024;
/// A peer whose answers are not taken for this long is closed.
const STALL: Duration = Duration::from_secs(10);
/// An agent's link is drained after this time, +- [`MOVE_SPREAD`], so that agents spread over gateways again.
const MOVE_AFTER: Duration = Duration::from_secs(600);
/// See [`MOVE_AFTER`].
const MOVE_SPREAD: f64 = 0.2;
/// A gateway that leaves asks its agents within this time, not all at once: a thousand of them open new links elsewhere.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// Or within this part of its grace, where that is shorter: the rest is for answers.
const LEAVE_PART: f64 = 0.25;

/// Opens a session on a stream and returns what goes back.
pub fn open<D: Dialect>(
    gateway: Arc<Gateway>,
    request: Request<Streaming<D::Request>>,
    lifecycle: &Lifecycle,
    jitter: f64,
    grace: Duration,
) -> Outgoing<D::Response> {
    // A Verdict and a Committed for each scan, a Committed for each row, and a few words beside.
    let (outbox, outgoing) = crate::outbox::channel(2 * IN_FLIGHT + ROW_CREDIT + 16);
    let drain = lifecycle.drain.clone();
    let moving = Moving {
        after: MOVE_AFTER.mul_f64(1.0 + MOVE_SPREAD * (2.0 * jitter - 1.0)),
        leave_after: LEAVE_WITHIN.min(grace.mul_f64(LEAVE_PART)).mul_f64(jitter),
    };
    let peer = Peer::of(&request);
    let connection = request.extensions().get().cloned();
    // Until its Hello it is a stranger, whose messages are small.
    let inbound = Messages::new(request, MESSAGE_WITHOUT_ROOM);
    let session = Session::<D> {
        gateway,
        inbound,
        peer,
        connection,
        outbox,
        open: None,
        ending: None,
        drained: false,
        grace,
    };
    lifecycle.spawn("session", async move { session.run(drain, moving).await });
    outgoing
}

/// When an agent is asked to move.
struct Moving {
    /// After its link was opened.
    after: Duration,
    /// After this gateway was told to end.
    leave_after: Duration,
}

struct Session<D: Dialect> {
    gateway: Arc<Gateway>,
    inbound: Messages<D::Request>,
    peer: Peer,
    /// `None`: the stream came over none, as in a test.
    connection: Option<Connection>,
    outbox: Outbox<D::Response>,
    /// Set by Hello.
    open: Option<Open>,
    /// Set when nothing more is read: how the stream ends once all is answered.
    ending: Option<Result<(), Status>>,
    drained: bool,
    grace: Duration,
}

/// What Hello brought.
struct Open {
    lines: Arc<[LineId]>,
    max_volume_bytes: u64,
    /// Bytes that may be in flight.
    credit: u64,
    bytes_in_flight: u64,
    advisor: Advisor,
}

impl Open {
    /// By whichever is scarcer, scans or bytes.
    fn advise(&mut self, deciding: usize) -> Option<Advice> {
        let scans = 1_000 * deciding as u64 / IN_FLIGHT as u64;
        let bytes = 1_000 * self.bytes_in_flight / self.credit;
        self.advisor.advise(scans.max(bytes), "this session's room for unanswered scans")
    }
}

/// A scan that was read, and the room that it takes until it is answered.
struct Reading {
    scan: Box<pb::Scan>,
    received: Instant,
    /// Of its row.
    permit: Option<OwnedSemaphorePermit>,
    bytes: Hold,
}

/// A scan that was answered, its site, its size, and the permit for its row.
type Answered = (Answer, String, u64, Option<OwnedSemaphorePermit>);

impl<D: Dialect> Session<D> {
    async fn run(mut self, drain: tokio_util::sync::CancellationToken, moving: Moving) {
        let mut deciding = FuturesUnordered::new();
        let mut storing = FuturesUnordered::new();
        let greeting = tokio::time::sleep(GREETING);
        let Moving { after, leave_after } = moving;
        let moving = tokio::time::sleep(after);
        tokio::pin!(greeting, moving);
        let mut leaving = false;
        loop {
            if self.ending.is_some() && deciding.is_empty() && storing.is_empty() {
                break;
            }
            let reading = self.ending.is_none() && self.may_read(deciding.len(), storing.len());
            let room = self.gateway.storing.clone();
            tokio::select! {
                biased;
                Some(answered) = deciding.next(), if !deciding.is_empty() => {
                    if let Some((row, permit)) = self.answered(answered, deciding.len()) {
                        storing.push(self.gateway.storing.clone().store(row, permit));
                    }
                }
                Some(stored) = storing.next(), if !storing.is_empty() => self.stored(stored),
                received = self.inbound.next(), if reading => match received {
                    Ok(Some(received)) => match self.read(received, deciding.len(), storing.len()) {
                        Next::Nothing => {}
                        Next::Decide(reading) => deciding.push(self.decide(reading)),
                        Next::Store(row, permit) => storing.push(self.gateway.storing.clone().store(*row, permit)),
                    },
                    Ok(None) => self.end(Ok(())),
                    Err(status) => self.end(Err(Fault::unreadable(status))),
                },
                () = room.wait_for_room(), if !reading && self.waits_for_room() => {}
                () = self.outbox.closed() => break,
                () = drain.cancelled(), if !leaving => {
                    leaving = true;
                    if D::IS_AGENT && self.open.is_some() {
                        let at = Instant::now() + leave_after;
                        self.grace -= leave_after;
                        if at < moving.deadline() {
                            moving.as_mut().reset(at);
                        }
                    } else {
                        self.drain();
                    }
                }
                () = &mut moving, if D::IS_AGENT && !self.drained => self.drain(),
                () = &mut greeting, if self.open.is_none() && self.ending.is_none() => {
                    let limit = GREETING.as_secs();
                    self.end(Err(Fault::Expired.status(format!("no Hello within {limit} s; send it first"))));
                }
                () = self.outbox.stalled(STALL), if self.outbox.waits() => {
                    let limit = STALL.as_secs();
                    let cut = self.connection.as_ref().is_some_and(Connection::cut_if_alone);
                    warn_seldom!(peer = %self.peer, cut, "a peer read nothing for {limit} s, its stream is closed");
                    break;
                }
            }
        }
        // Scans in flight end with their stream; verdicts that were sent are stored whatever became of it.
        drop(deciding);
        self.outbox.finish(
            self.ending.take().unwrap_or_else(|| Err(Fault::CutOff.status("the session was closed"))),
        );
        while storing.next().await.is_some() {}
    }

    /// Whether the next message may be read. An agent keeps to its credit, so its messages are always read.
    fn may_read(&self, deciding: usize, storing: usize) -> bool {
        let Some(open) = &self.open else { return true };
        let answers = 2 * deciding + storing + 2;
        D::IS_AGENT
            || (deciding < IN_FLIGHT
                && open.bytes_in_flight < open.credit
                && storing < ROW_CREDIT
                && self.outbox.room() > answers
                && self.gateway.storing.room())
    }

    fn waits_for_room(&self) -> bool {
        !D::IS_AGENT && self.open.is_some() && !self.gateway.storing.room()
    }

    fn read(&mut self, received: Received<D::Request>, deciding: usize, storing: usize) -> Next {
        let message = match received.message {
            Ok(message) => message,
            Err(skipped) => {
                self.skipped(&skipped);
                return Next::Nothing;
            }
        };
        match D::up(message) {
            FromPeer::Hello(hello) => self.hello(&hello),
            FromPeer::Tray(tray) => self.tray(tray),
            FromPeer::Note => {}
            FromPeer::Unknown => self.reject(
                "",
                "",
                &Invalid::field("message", "", "one of the messages of this contract, version 1"),
            ),
            FromPeer::Scan(scan) => return self.scan(scan, received.began, received.room, deciding),
            FromPeer::Settled(row) => return self.settled(row, storing),
        }
        Next::Nothing
    }

    /// Answers a message that was too large to be read, or that there was no room for.
    fn skipped(&mut self, skipped: &Skipped) {
        let cut = CutScan::read(skipped.bytes, &skipped.head, &skipped.tail);
        let error = match (&self.open, &skipped.why) {
            (None, _) => Invalid::no_hello(),
            (Some(_), Why::TooLarge(limit)) => CutScan::error(cut.as_ref(), skipped.bytes, *limit),
            (Some(_), Why::NoRoom(why)) => no_room(why),
        };
        let scan = cut.map(|cut| cut.scan).unwrap_or_default();
        if let Why::NoRoom(_) = skipped.why {
            self.gateway.pipeline.turned_away(&scan.scan_id);
        }
        let rejected = error.rejected(&scan.scan_id);
        Answer::Rejected(rejected.clone()).count();
        self.send(&site_of(scan.place.as_ref()), ToPeer::Rejected(rejected));
    }

    fn hello(&mut self, hello: &Hello) {
        if self.open.is_some() {
            return self.reject("", "", &Invalid::field("hello", "a second one", "sent once"));
        }
        if hello.protocol_version != PROTOCOL_VERSION {
            let limit = format!("{PROTOCOL_VERSION}, the only version this server speaks");
            return self.reject(
                "",
                "",
                &Invalid::field("hello.protocol_version", hello.protocol_version, limit),
            );
        }
        let lines = match LineId::parse_all(&hello.lines) {
            Ok(lines) => lines,
            Err(invalid) => return self.reject("", "", &invalid),
        };
        let most = self.gateway.max_volume_bytes;
        let max_volume_bytes =
            if hello.max_volume_bytes == 0 { most } else { hello.max_volume_bytes.min(most) };
        let memory = &self.gateway.memory;
        match memory.admit(self.peer) {
            Ok(seat) => self.outbox.hold(seat),
            Err(full) => {
                return self.end(Err(Fault::NoRoom.status(format!("no room for another session: {full}"))));
            }
        }
        let (gateway, peer) = (self.gateway.clone(), self.peer);
        self.inbound.limit(most + HEADER_BYTES);
        self.inbound.ask_for_room(move |bytes| Box::pin(std::future::ready(gateway.room(peer, bytes))));
        let credit = memory.credit(max_volume_bytes);
        tracing::info!(name = shorten_to(&hello.name, VALUE_BYTES), peer = %self.peer, "session opened");
        let settled = u32::try_from(ROW_CREDIT).unwrap_or(u32::MAX);
        self.send("", ToPeer::Welcome { bytes: credit, settled, max_volume_bytes });
        let lines = lines.into();
        let advisor = Advisor::default();
        self.open = Some(Open { lines, max_volume_bytes, credit, bytes_in_flight: 0, advisor });
    }

    fn tray(&mut self, tray: Tray) {
        let site = site_of(tray.place.as_ref());
        let accepted = match &self.open {
            Some(open) => tray.accept(&open.lines),
            None => Err(Invalid::no_hello()),
        };
        metrics::counter!("ovomesh_gateway_trays_total", "accepted" => accepted.is_ok().to_string())
            .increment(1);
        match accepted {
            Ok(accepted) => self.send(&site, ToPeer::TrayAccepted(accepted)),
            Err(error) => self.reject(&site, "", &error),
        }
    }

    fn scan(&mut self, scan: Box<pb::Scan>, received: Instant, room: Option<Hold>, deciding: usize) -> Next {
        let Some(open) = &mut self.open else {
            self.reject(&site_of(scan.place.as_ref()), &scan.scan_id, &Invalid::no_hello());
            return Next::Nothing;
        };
        let bytes = sample_bytes(&scan);
        if D::IS_AGENT && (deciding >= IN_FLIGHT || open.bytes_in_flight + bytes > open.credit) {
            let limit = open.credit;
            self.end(Err(Fault::NoRoom.status(format!(
                "scan {} is past the credit of {IN_FLIGHT} scans and {limit} bytes; wait for verdicts",
                scan.scan_id
            ))));
            return Next::Nothing;
        }
        let permit = if D::IS_AGENT { None } else { self.gateway.storing.reserve() };
        if !D::IS_AGENT && permit.is_none() {
            let error = Invalid::overloaded("the gateway's room for rows", "the store is behind");
            self.reject(&site_of(scan.place.as_ref()), &scan.scan_id, &error);
            return Next::Nothing;
        }
        // A small one was read before there was room for it.
        let room = match room.map_or_else(|| self.gateway.room(self.peer, bytes), Ok) {
            Ok(room) => room,
            Err(why) => {
                self.gateway.pipeline.turned_away(&scan.scan_id);
                self.reject(&site_of(scan.place.as_ref()), &scan.scan_id, &no_room(&why));
                return Next::Nothing;
            }
        };
        open.bytes_in_flight += bytes;
        self.advise(deciding + 1);
        Next::Decide(Reading { scan, received, permit, bytes: room })
    }

    fn settled(&mut self, row: Result<Box<pb::Row>, Invalid>, storing: usize) -> Next {
        let row = match row {
            Ok(row) => row,
            Err(invalid) => {
                self.send("", ToPeer::Refused(String::new(), invalid.to_string()));
                return Next::Nothing;
            }
        };
        let site = site_of(row.place.as_ref());
        let Some(open) = &self.open else {
            let message = "hello is missing; it must be the first message".into();
            self.send(&site, ToPeer::Refused(row.scan_id, message));
            return Next::Nothing;
        };
        let permit = self.gateway.storing.reserve();
        let (Some(permit), true) = (permit, storing < ROW_CREDIT) else {
            self.end(Err(Fault::NoRoom.status(format!(
                "row of scan {} is past the credit of {ROW_CREDIT} rows; wait for Committed",
                row.scan_id
            ))));
            return Next::Nothing;
        };
        let scan_id = row.scan_id.clone();
        match self.gateway.stamp_owner(*row, &open.lines) {
            Ok(row) => Next::Store(Box::new(row), permit),
            Err(invalid) => {
                self.send(&site, ToPeer::Refused(scan_id, invalid.to_string()));
                Next::Nothing
            }
        }
    }

    /// Tells a scanner how fast to go. An agent is held by its credit.
    fn advise(&mut self, deciding: usize) {
        if D::IS_AGENT {
            return;
        }
        if let Some(advice) = self.open.as_mut().and_then(|open| open.advise(deciding)) {
            self.send("", ToPeer::Advice(advice));
        }
    }

    fn decide(&self, reading: Reading) -> impl Future<Output = Answered> + use<D> {
        let Reading { scan, received, permit, bytes: room } = reading;
        let gateway = self.gateway.clone();
        let (lines, most) = match &self.open {
            Some(open) => (open.lines.clone(), open.max_volume_bytes),
            None => (Arc::from([]), gateway.max_volume_bytes),
        };
        async move {
            let (site, bytes) = (site_of(scan.place.as_ref()), sample_bytes(&scan));
            let answer = gateway.answer(*scan, most, lines, received).await;
            drop(room);
            (answer, site, bytes, permit)
        }
    }

    /// Sends an answer; what is left to do is to store it.
    fn answered(
        &mut self,
        (answer, site, bytes, permit): Answered,
        deciding: usize,
    ) -> Option<(Row, OwnedSemaphorePermit)> {
        if let Some(open) = &mut self.open {
            open.bytes_in_flight -= bytes;
        }
        self.advise(deciding);
        match answer {
            Answer::Rejected(rejected) => {
                self.send(&site, ToPeer::Rejected(rejected));
                None
            }
            Answer::Decided(row) => {
                let verdict = Box::new(row.verdict.to_pb(&row.meta.scan_id));
                let preview = if D::IS_AGENT { row.preview.clone() } else { None };
                self.send(&site, ToPeer::Verdict(verdict, preview));
                permit.map(|permit| (*row, permit))
            }
        }
    }

    fn stored(&mut self, stored: Stored) {
        match stored {
            Stored::Committed { site, scan_id } => self.send(&site, ToPeer::Committed(scan_id)),
            Stored::Refused { site, scan_id, message } => self.send(&site, ToPeer::Refused(scan_id, message)),
            Stored::GaveUp => {}
        }
    }

    /// A scanner is told by the end of its stream, when all is answered; an agent is asked to leave.
    fn drain(&mut self) {
        self.drained = true;
        if D::IS_AGENT && self.open.is_some() {
            let grace_ms = u32::try_from(self.grace.as_millis()).unwrap_or(u32::MAX);
            self.send("", ToPeer::Drain { grace_ms });
        } else {
            self.end(Err(Fault::Unavailable.status("this gateway is leaving; connect again")));
        }
    }

    fn end(&mut self, how: Result<(), Status>) {
        self.ending.get_or_insert(how);
    }

    fn reject(&mut self, site: &str, scan_id: &str, error: &Invalid) {
        let rejected: Rejected = error.rejected(scan_id);
        self.send(site, ToPeer::Rejected(rejected));
    }

    /// Sends a message about a scan of this site; empty: about none.
    fn send(&mut self, site: &str, down: ToPeer) {
        if let Some(response) = D::down(down, site.to_owned())
            && !self.outbox.send(response)
        {
            // Only a peer that sends nonsense without end and never reads comes here: answers have their room.
            self.end(Err(Fault::NoRoom.status("answers are not read; read them while sending")));
        }
    }
}

/// What a message leads to.
enum Next {
    Nothing,
    Decide(Reading),
    Store(Box<Row>, OwnedSemaphorePermit),
}

fn no_room(why: &str) -> Invalid {
    Invalid::overloaded("the gateway's room", why)
}
