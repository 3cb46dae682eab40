//! A sorter that follows a line of an agent.

use ovomesh_api::pb::scanner::v1::Line;
use ovomesh_api::pb::sorter::v1::follow_request::Message as Up;
use ovomesh_api::pb::sorter::v1::follow_response::Message as Down;
use ovomesh_api::pb::sorter::v1::sorter_service_client::SorterServiceClient;
use ovomesh_api::pb::sorter::v1::{
    Actuated, FollowRequest, FollowResponse, Following, RejectReason, Rejected, Released, Start,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use crate::LIMIT;

/// One stream of one sorter.
pub struct Sorter {
    up: mpsc::Sender<FollowRequest>,
    down: Streaming<FollowResponse>,
}

/// Follows the line of [`crate::place`] from the first verdict that nobody acknowledged.
pub fn start() -> Start {
    let line = Line { site: crate::place().site, line: crate::place().line };
    Start { line: Some(line), sorter: "gate".into(), protocol_version: 1, from_now: false }
}

impl Sorter {
    pub async fn open(agent: &str, start: Start) -> Result<(Self, Following), Status> {
        let unreachable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let endpoint = Endpoint::from_shared(agent.to_owned()).map_err(unreachable)?;
        let channel = endpoint.connect().await.map_err(unreachable)?;
        let (up, messages) = mpsc::channel(64);
        let first = FollowRequest { message: Some(Up::Start(start)) };
        up.try_send(first).map_err(|error| Status::internal(error.to_string()))?;
        let down =
            SorterServiceClient::new(channel).follow(ReceiverStream::new(messages)).await?.into_inner();
        let mut sorter = Self { up, down };
        match sorter.next().await? {
            Some(Down::Following(following)) => Ok((sorter, following)),
            other => panic!("no Following but {other:?}"),
        }
    }

    /// The next message; it must arrive within the limit.
    pub async fn next(&mut self) -> Result<Option<Down>, Status> {
        let message =
            tokio::time::timeout(LIMIT, self.down.message()).await.expect("a message within the limit")?;
        Ok(message.and_then(|response| response.message))
    }

    /// The scan of the next verdict.
    pub async fn released(&mut self) -> String {
        self.verdict().await.verdict.map(|verdict| verdict.scan_id).unwrap_or_default()
    }

    /// The next verdict as it is released. An agent that has no configuration of the line says so before the first one.
    pub async fn verdict(&mut self) -> Released {
        loop {
            match self.next().await {
                Ok(Some(Down::Released(released))) => return released,
                Ok(Some(Down::Rejected(rejected))) if rejected.reason() == RejectReason::UnknownLine => {}
                other => panic!("no verdict but {other:?}"),
            }
        }
    }

    /// The next rejection of what the sorter said.
    pub async fn rejected(&mut self) -> Rejected {
        match self.next().await {
            Ok(Some(Down::Rejected(rejected))) => rejected,
            other => panic!("not rejected but {other:?}"),
        }
    }

    /// Reports that an egg went where its verdict said.
    pub async fn actuated(&self, scan_id: &str) {
        self.actuated_into(scan_id, "hatch").await;
    }

    /// Reports that an egg went into a lane.
    pub async fn actuated_into(&self, scan_id: &str, lane: &str) {
        let actuated = Actuated { scan_id: scan_id.into(), lane: lane.into() };
        // The next message reports a stream that broke.
        let _ = self.up.send(FollowRequest { message: Some(Up::Actuated(actuated)) }).await;
    }
}
