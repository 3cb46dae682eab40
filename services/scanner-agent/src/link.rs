//! The link to the gateways: one at a time, another one at once when it breaks or asks to leave.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ovomesh_api::pb::gateway::v1::connect_request::Message as Up;
use ovomesh_api::pb::gateway::v1::connect_response::Message as Down;
use ovomesh_api::pb::gateway::v1::gateway_service_client::GatewayServiceClient;
use ovomesh_api::pb::gateway::v1::{ConnectRequest, ConnectResponse, Decided, Hello, SpoolStatus, Welcome};
use ovomesh_api::pb::scan::v1::Rejected;
use ovomesh_api::{Reason, ScanKey, Settled, Verdict, time};
use ovomesh_mesh::{Backoff, Connector, explain};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Uri;

use crate::agent::Agent;
use crate::in_flight::Stored;
use crate::pace::Pace;
use crate::queue::Waiting;

/// Version of the contract.
const PROTOCOL_VERSION: u32 = 1;
/// Connection, handshake and Welcome together.
const OPENING: Duration = Duration::from_secs(5);
/// A link that broke after less counts as one that was not opened.
const STABLE: Duration = Duration::from_secs(2);
/// How long what is outstanding on a link is waited for that the agent leaves.
const MOVE: Duration = Duration::from_secs(10);
/// How often the gateway is told how full the spool is.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// What a message may have beside its volume.
const HEADER_BYTES: u64 = 64 << 10;

/// Where gateways are, and who we are.
#[derive(Debug, Clone)]
pub struct Gateways {
    /// Their addresses.
    pub uris: Vec<Uri>,
    /// How connections are made.
    pub connector: Connector,
    /// Name of this agent, unique in its site.
    pub agent: String,
}

/// Keeps a link for ever.
pub async fn run(agent: Arc<Agent>, gateways: Gateways) {
    // Agents that start together should not all go to the first one.
    let mut next = rand::random_range(0..gateways.uris.len().max(1));
    let (mut backoff, mut wait) = (Backoff::default(), Duration::ZERO);
    let mut leaving = FuturesUnordered::new();
    loop {
        let uri = &gateways.uris[next % gateways.uris.len()];
        next += 1;
        let before = wait;
        let working = async {
            // Here, because answers on links that are left are read meanwhile.
            tokio::time::sleep(before).await;
            let link = Link::open(&agent, &gateways, uri).await?;
            tracing::info!(gateway = %uri, "linked");
            let begun = Instant::now();
            Ok::<_, String>((link.work().await, begun.elapsed()))
        };
        tokio::pin!(working);
        let ended = loop {
            tokio::select! {
                ended = &mut working => break ended,
                Some(()) = leaving.next(), if !leaving.is_empty() => {}
            }
        };
        let at_once = match ended {
            Ok((Ended::Drains(link, grace), _)) => {
                tracing::info!(gateway = %uri, "asks to leave");
                leaving.push(link.finish(grace));
                true
            }
            Ok((Ended::Stepped(link), lasted)) => {
                tracing::warn!(gateway = %uri, "the machine's time of day was set: a gateway is asked for the time");
                leaving.push(link.finish(MOVE));
                lasted > STABLE
            }
            Ok((Ended::Broke(why), lasted)) => {
                tracing::warn!(gateway = %uri, why, "the link broke");
                lasted > STABLE
            }
            Err(why) => {
                tracing::warn!(gateway = %uri, why, "no link");
                false
            }
        };
        if at_once {
            backoff.reset();
        }
        wait = if at_once { Duration::ZERO } else { backoff.next_wait() };
    }
}

/// How work on a link ended.
enum Ended {
    /// The gateway asks to leave; what is outstanding may be waited for.
    Drains(Box<Link>, Duration),
    /// The machine's time of day was set: a gateway is to be asked for the time, which it sends when a link is opened.
    Stepped(Box<Link>),
    /// It is gone; what was outstanding waits again.
    Broke(String),
}

/// How an answer names its scan: by site and id. A gateway of version 0.1 names no site: two scans that it would name alike
/// are never outstanding at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Named {
    site: String,
    scan_id: String,
}

impl Named {
    /// How the gateway that granted this credit names a scan.
    fn by(credit: &Welcome, key: &ScanKey) -> Self {
        let site = if credit.names_sites { key.site.to_string() } else { String::new() };
        Self { site, scan_id: key.scan_id.to_string() }
    }
}

/// What is sent next.
enum Outgoing {
    /// A scan, and how its answer will name it.
    Scan(Named, Up),
    /// A row, likewise.
    Row(Named, Up),
    /// What has no answer.
    Status(Up),
}

impl Outgoing {
    fn into_request(self) -> ConnectRequest {
        let (Self::Scan(_, message) | Self::Row(_, message) | Self::Status(message)) = self;
        ConnectRequest { message: Some(message) }
    }
}

/// One link.
struct Link {
    agent: Arc<Agent>,
    up: mpsc::Sender<ConnectRequest>,
    down: Streaming<ConnectResponse>,
    credit: Welcome,
    /// Scans without an answer.
    scans: HashMap<Named, Waiting>,
    /// Their bytes.
    scan_bytes: u64,
    /// Rows without an answer.
    rows: HashMap<Named, ScanKey>,
    pace: Pace,
}

impl Link {
    async fn open(agent: &Arc<Agent>, gateways: &Gateways, uri: &Uri) -> Result<Self, String> {
        let opening = async {
            let channel = gateways.connector.connect(uri).await.map_err(|error| explain(&error))?;
            let most = usize::try_from(agent.settings.max_volume_bytes + HEADER_BYTES).unwrap_or(usize::MAX);
            let mut client = GatewayServiceClient::new(channel).max_encoding_message_size(most);
            let (up, messages) = mpsc::channel(1);
            let hello = Hello {
                agent: gateways.agent.clone(),
                software: env!("CARGO_PKG_VERSION").into(),
                protocol_version: PROTOCOL_VERSION,
                max_volume_bytes: agent.settings.max_volume_bytes,
                lines: Vec::new(),
            };
            // There is room for one message, and nobody else sends.
            let _ = up.try_send(ConnectRequest { message: Some(Up::Hello(hello)) });
            let text = |status: tonic::Status| explain(&status);
            let mut down = client.connect(ReceiverStream::new(messages)).await.map_err(text)?.into_inner();
            match down.message().await.map_err(text)?.and_then(|response| response.message) {
                Some(Down::Welcome(credit)) => Ok((up, down, credit)),
                Some(Down::Rejected(rejected)) => Err(rejected.message),
                other => Err(format!("answered Hello with {other:?}")),
            }
        };
        let limit = format!("no Welcome within {} s", OPENING.as_secs());
        let (up, down, credit) = tokio::time::timeout(OPENING, opening).await.map_err(|_| limit)??;
        if let Some(server_time) = credit.server_time
            && let Ok(server_time) = time::from_pb("welcome.server_time", server_time)
        {
            agent.clock.correct(server_time);
        }
        let (scans, scan_bytes, rows) = Default::default();
        let pace = Pace::within(credit.scan_credit);
        Ok(Self { agent: agent.clone(), up, down, credit, scans, scan_bytes, rows, pace })
    }

    /// Sends what waits and books what comes, until the link breaks or is asked to end.
    async fn work(mut self) -> Ended {
        let mut waiting = None;
        let mut status = tokio::time::interval(STATUS_EVERY);
        loop {
            if waiting.is_none() {
                waiting = self.next();
            }
            let (agent, up) = (self.agent.clone(), self.up.clone());
            let pause = self.pace.pause(Instant::now());
            tokio::select! {
                biased;
                message = self.down.message() => match message {
                    Ok(Some(response)) => {
                        if let Some(grace) = self.book(response) {
                            if let Some(unsent) = waiting {
                                self.took(unsent);
                            }
                            return Ended::Drains(Box::new(self), grace);
                        }
                    }
                    Ok(None) => return Ended::Broke("the gateway ended it".into()),
                    Err(error) => return Ended::Broke(explain(&error)),
                },
                Ok(room) = up.reserve(), if waiting.is_some() => {
                    if let Some(outgoing) = waiting.take() {
                        room.send(outgoing.into_request());
                    }
                }
                () = agent.clock.is_stepped() => {
                    if let Some(unsent) = waiting {
                        self.took(unsent);
                    }
                    return Ended::Stepped(Box::new(self));
                }
                () = agent.queue.news(), if waiting.is_none() => {}
                () = tokio::time::sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => {}
                _ = status.tick(), if waiting.is_none() => waiting = Some(Outgoing::Status(self.spool_status())),
            }
        }
    }

    /// Waits for what is outstanding, so long as the gateway stays.
    async fn finish(mut self: Box<Self>, grace: Duration) {
        let answered = async {
            while !(self.scans.is_empty() && self.rows.is_empty())
                && let Ok(Some(response)) = self.down.message().await
            {
                self.book(response);
            }
        };
        // What has no answer by then waits again when this is dropped.
        let _ = tokio::time::timeout(grace, answered).await;
    }

    /// What to send next, within the credit: scans first, because the conveyor moves.
    fn next(&mut self) -> Option<Outgoing> {
        let now = Instant::now();
        while self.pace.allows(self.scans.len(), now)
            && let Some(waiting) = {
                let room = self.credit.scan_credit_bytes.saturating_sub(self.scan_bytes);
                let may_be_sent = |key: &ScanKey| !self.scans.contains_key(&Named::by(&self.credit, key));
                self.agent.queue.next_scan(now, room, may_be_sent)
            }
        {
            if let Some(scan) = self.agent.scan(&waiting.key) {
                let named = Named::by(&self.credit, &waiting.key);
                self.scan_bytes += waiting.bytes;
                self.scans.insert(named.clone(), waiting);
                return Some(Outgoing::Scan(named, Up::Scan(scan)));
            }
        }
        while self.rows.len() < self.credit.settled_credit as usize
            && let Some(key) = {
                let may_be_sent = |key: &ScanKey| !self.rows.contains_key(&Named::by(&self.credit, key));
                self.agent.queue.next_verdict(may_be_sent)
            }
        {
            if let Some(row) = self.agent.row(&key) {
                let named = Named::by(&self.credit, &key);
                self.rows.insert(named.clone(), key);
                return Some(Outgoing::Row(named, Up::Settled(Settled { row: row.bytes().clone() })));
            }
        }
        None
    }

    /// Books an answer; the gateway's grace when it asks to leave.
    fn book(&mut self, response: ConnectResponse) -> Option<Duration> {
        let site = response.site;
        match response.message {
            Some(Down::Decided(Decided { verdict: Some(verdict), preview })) => {
                if let Some(waiting) = self.answered(&Named { site, scan_id: verdict.scan_id.clone() }) {
                    self.pace.answered();
                    self.agent.decided(&waiting.key, (Verdict::from_pb(verdict), preview));
                }
            }
            Some(Down::Rejected(rejected)) => self.rejected(site, &rejected),
            Some(Down::Committed(committed)) => {
                self.stored(&Named { site, scan_id: committed.scan_id }, Ok(()));
            }
            Some(Down::Refused(refused)) => {
                self.stored(&Named { site, scan_id: refused.scan_id }, Err(refused.message));
            }
            Some(Down::Drain(drain)) => return Some(Duration::from_millis(drain.grace_ms.into())),
            Some(Down::Welcome(_) | Down::Advice(_) | Down::Decided(_)) | None => {}
        }
        None
    }

    /// A scan is outstanding no more.
    fn answered(&mut self, named: &Named) -> Option<Waiting> {
        let waiting = self.scans.remove(named)?;
        self.scan_bytes -= waiting.bytes;
        Some(waiting)
    }

    /// A row is outstanding no more.
    fn stored(&mut self, named: &Named, stored: Stored) {
        if let Some(key) = self.rows.remove(named) {
            self.agent.stored(&key, stored);
        }
    }

    fn rejected(&mut self, site: String, rejected: &Rejected) {
        let named = Named { site, scan_id: rejected.scan_id.clone() };
        let Some(waiting) = self.answered(&named) else { return };
        if rejected.retryable {
            self.pace.refused(self.scans.len(), Instant::now());
            self.agent.queue.scan(waiting);
            return;
        }
        let verdict = Verdict::undecided(Reason::Rejected, &rejected.message);
        self.agent.decided(&waiting.key, (verdict, None));
    }

    /// A message that was taken from the queue and not sent waits again.
    fn took(&mut self, unsent: Outgoing) {
        match unsent {
            Outgoing::Scan(named, _) => {
                if let Some(waiting) = self.answered(&named) {
                    self.agent.queue.scan(waiting);
                }
            }
            Outgoing::Row(named, _) => {
                if let Some(key) = self.rows.remove(&named) {
                    self.agent.queue.verdict(key);
                }
            }
            Outgoing::Status(_) => {}
        }
    }

    fn spool_status(&self) -> Up {
        let (volume_bytes, volume_limit_bytes) = self.agent.scan_bytes();
        let unsettled = self.agent.queue.len().1 as u64;
        Up::SpoolStatus(SpoolStatus { volume_bytes, volume_limit_bytes, unsettled })
    }
}

impl Drop for Link {
    /// What has no answer waits again.
    fn drop(&mut self) {
        for (_, waiting) in self.scans.drain() {
            self.agent.queue.scan(waiting);
        }
        for (_, key) in self.rows.drain() {
            self.agent.queue.verdict(key);
        }
    }
}
