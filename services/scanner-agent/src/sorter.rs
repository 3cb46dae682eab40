//! One sorter on one line: it receives what was released, and reports what it has done.

mod rejected;

use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::sorter::v1::follow_request::Message as Up;
use ovomesh_api::pb::sorter::v1::follow_response::Message as Down;
use ovomesh_api::pb::sorter::v1::{
    Actuated, FollowRequest, FollowResponse, Following, Lagged, Released, Start,
};
use ovomesh_api::{EggId, Fault, Invalid, LineId, Row, ScanId, ScanKey, time};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::agent::Agent;
use crate::feed::{Acknowledged, Cursor, Next};

/// Version of the contract.
const PROTOCOL_VERSION: u32 = 1;
/// A sorter says Start within this time, or leaves.
const GREETING: Duration = Duration::from_secs(10);
/// A sorter that reads nothing for this long is closed: it should connect again.
const STALL: Duration = Duration::from_secs(10);
/// Verdicts on their way to a sorter.
const AHEAD: usize = 64;
/// Longest name of a lane, in bytes.
const LANE_BYTES: usize = 32;
/// Longest name of a sorter, in bytes.
const NAME_BYTES: usize = 64;

/// What goes back to a sorter.
pub type Outgoing = ReceiverStream<Result<FollowResponse, Status>>;

/// Begins to follow; the future serves the sorter to its end.
pub fn open(
    agent: Arc<Agent>,
    inbound: Streaming<FollowRequest>,
    drain: CancellationToken,
) -> (impl Future<Output = ()> + Send, Outgoing) {
    let (out, outgoing) = mpsc::channel(AHEAD);
    let serving = async move {
        let sorter = Sorter { agent, out: out.clone() };
        let ended = tokio::select! {
            ended = sorter.serve(inbound) => ended,
            () = out.closed() => return,
            () = drain.cancelled() => Err(Fault::Unavailable.status("this agent is leaving; connect again")),
        };
        if let Err(status) = ended {
            // A sorter that does not read finds its stream closed.
            let _ = out.try_send(Err(status));
        }
    };
    (serving, ReceiverStream::new(outgoing))
}

struct Sorter {
    agent: Arc<Agent>,
    out: mpsc::Sender<Result<FollowResponse, Status>>,
}

impl Sorter {
    async fn serve(&self, mut inbound: Streaming<FollowRequest>) -> Result<(), Status> {
        let first = tokio::time::timeout(GREETING, inbound.message()).await;
        let limit =
            || Fault::Expired.status(format!("no Start within {} s; send it first", GREETING.as_secs()));
        let Some(Up::Start(start)) = first.map_err(|_| limit())??.and_then(|request| request.message) else {
            return Err(Fault::OutOfOrder.status("the first message must be Start"));
        };
        let line = check(&start).map_err(|invalid| Fault::Invalid.status(invalid.to_string()))?;
        let (cursor, unacknowledged) = self.agent.feed.follow(line.clone(), start.from_now);
        tracing::info!(
            sorter = start.sorter,
            site = %line.site,
            line = %line.line,
            unacknowledged,
            "a sorter follows"
        );
        let following = Following {
            server_time: Some(time::to_pb(self.agent.clock.now())),
            unacknowledged: u32::try_from(unacknowledged).unwrap_or(u32::MAX),
            server_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.send(Down::Following(following)).await?;
        let known = self.agent.known_lines();
        if !known.contains(&line) {
            tracing::warn!(sorter = start.sorter, %line, "a sorter follows a line that is not known here");
            self.send(rejected::unknown_line(&line, &known)).await?;
        }
        tokio::try_join!(self.tell(cursor), self.hear(inbound, &line)).map(|_| ())
    }

    /// Tells what is released, for ever.
    async fn tell(&self, mut cursor: Cursor) -> Result<(), Status> {
        loop {
            match self.agent.feed.next(&mut cursor).await {
                Next::Lagged(count) => self.send(Down::Lagged(Lagged { count })).await?,
                Next::Released(key, at) => {
                    if let Some(row) = self.agent.released(&key) {
                        self.send(Down::Released(released(row.row(), at))).await?;
                    }
                }
            }
        }
    }

    /// Hears what was done, until the sorter has no more to say; it is still told.
    async fn hear(&self, mut inbound: Streaming<FollowRequest>, line: &LineId) -> Result<(), Status> {
        while let Some(request) = inbound.message().await? {
            match request.message {
                Some(Up::Actuated(actuated)) => self.actuated(actuated, line).await?,
                Some(Up::Start(_)) => return Err(Fault::OutOfOrder.status("Start is sent once")),
                // Of a later version of the contract.
                None => {}
            }
        }
        Ok(())
    }

    async fn actuated(&self, actuated: Actuated, line: &LineId) -> Result<(), Status> {
        let Actuated { scan_id, lane } = actuated;
        if !(1..=LANE_BYTES).contains(&lane.len()) {
            let invalid = Invalid::field("actuated.lane", lane, format!("1 to {LANE_BYTES} bytes"));
            return Err(Fault::Invalid.status(invalid.to_string()));
        }
        let done = match ScanId::parse(&scan_id) {
            Ok(scan_id) => self.agent.actuated(line, &ScanKey::new(&line.site, &scan_id), &lane).await,
            Err(_) => Acknowledged::UnknownScan,
        };
        let known = if done == Acknowledged::UnknownScan { "no" } else { "yes" };
        metrics::counter!("ovomesh_agent_actuated_total", "known" => known).increment(1);
        tracing::debug!(id = scan_id, lane, known, "actuated");
        match done {
            Acknowledged::Yes => Ok(()),
            Acknowledged::UnknownScan => self.send(rejected::unknown_scan(&scan_id, line)).await,
            Acknowledged::OtherLane(first) => {
                tracing::warn!(id = scan_id, lane, first, "a sorter names a second lane for one egg");
                self.send(rejected::other_lane(&scan_id, &lane, &first)).await
            }
        }
    }

    async fn send(&self, message: Down) -> Result<(), Status> {
        let sent = self.out.send(Ok(FollowResponse { message: Some(message) }));
        let limit = || Fault::NoRoom.status(format!("nothing was read for {} s", STALL.as_secs()));
        tokio::time::timeout(STALL, sent)
            .await
            .map_err(|_| limit())?
            .map_err(|_| Status::cancelled("it has left"))
    }
}

fn check(start: &Start) -> Result<LineId, Invalid> {
    if start.protocol_version != PROTOCOL_VERSION {
        let limit = format!("{PROTOCOL_VERSION}, the only version this agent speaks");
        return Err(Invalid::field("start.protocol_version", start.protocol_version, limit));
    }
    if start.sorter.len() > NAME_BYTES {
        return Err(Invalid::field("start.sorter", &start.sorter, format!("at most {NAME_BYTES} bytes")));
    }
    let line = start.line.clone().unwrap_or_default();
    LineId::parse(&line.site, &line.line)
}

fn released(row: &Row, at: Instant) -> Released {
    Released {
        place: Some(row.meta.place.to_pb()),
        egg_id: row.meta.egg_id.as_ref().map(EggId::to_string).unwrap_or_default(),
        verdict: Some(row.verdict.to_pb(&row.meta.scan_id)),
        age_ms: u32::try_from(at.elapsed().as_millis()).unwrap_or(u32::MAX),
    }
}
