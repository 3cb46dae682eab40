//! A sorter at the end of a line: it hears every verdict, acts, and comes back after a break.

use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::Place;
use ovomesh_api::pb::scanner::v1::Line;
use ovomesh_api::pb::sorter::v1::follow_request::Message as Up;
use ovomesh_api::pb::sorter::v1::follow_response::Message as Down;
use ovomesh_api::pb::sorter::v1::sorter_service_client::SorterServiceClient;
use ovomesh_api::pb::sorter::v1::{Actuated, FollowRequest, Start};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Endpoint;

use crate::book::Book;

/// Pause before another try to connect.
const AGAIN: Duration = Duration::from_millis(100);

/// Follows a line of an agent for ever.
pub async fn follow(agent: String, place: Place, book: Arc<Book>) {
    while session(&agent, &place, &book).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
}

async fn session(agent: &str, place: &Place, book: &Book) -> Result<(), Status> {
    let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let endpoint = Endpoint::from_shared(agent.to_owned()).map_err(unavailable)?;
    let channel = endpoint.connect_timeout(Duration::from_secs(2)).connect().await.map_err(unavailable)?;
    let (up, messages) = mpsc::channel(64);
    let left = |_| Status::unavailable("the stream broke");
    let line = Some(Line { site: place.site.clone(), line: place.line.clone() });
    let start = Start { line, sorter: "gate".into(), protocol_version: 1, from_now: false };
    up.send(FollowRequest { message: Some(Up::Start(start)) }).await.map_err(left)?;
    let mut down =
        SorterServiceClient::new(channel).follow(ReceiverStream::new(messages)).await?.into_inner();
    while let Some(response) = down.message().await? {
        if let Some(Down::Released(released)) = response.message {
            let verdict = released.verdict.unwrap_or_default();
            let actuated = Actuated { scan_id: verdict.scan_id.clone(), lane: "1".into() };
            book.told(verdict);
            up.send(FollowRequest { message: Some(Up::Actuated(actuated)) }).await.map_err(left)?;
        }
    }
    Err(Status::unavailable("the stream ended"))
}
