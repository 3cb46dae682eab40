//! An agent's link to a gateway that reads as sentences.

use ovomesh_api::Settled;
use ovomesh_api::pb::gateway::v1::gateway_service_client::GatewayServiceClient;
use ovomesh_api::pb::gateway::v1::{
    ConnectRequest, ConnectResponse, Hello, connect_request, connect_response,
};
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_api::pb::scanner::v1::Line;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::LIMIT;

/// One stream to a gateway.
pub struct Link {
    up: mpsc::Sender<ConnectRequest>,
    down: Streaming<ConnectResponse>,
}

impl Link {
    /// Connects, names its lines and waits for Welcome.
    pub async fn open(gateway: &str, lines: Vec<Line>) -> Self {
        let endpoint = Endpoint::from_shared(gateway.to_owned()).expect("a URL");
        let channel = endpoint.connect().await.expect("a gateway listens");
        let (up, messages) = mpsc::channel(256);
        let mut client = GatewayServiceClient::new(channel);
        let down = client.connect(ReceiverStream::new(messages)).await.expect("a stream").into_inner();
        let mut link = Self { up, down };
        let hello = Hello { agent: "test".into(), protocol_version: 1, lines, ..Default::default() };
        link.send(connect_request::Message::Hello(hello)).await;
        match link.next().await {
            connect_response::Message::Welcome(_) => link,
            other => panic!("no Welcome but {other:?}"),
        }
    }

    /// Has a row stored, or learns why it never will be.
    pub async fn settle(&mut self, row: Row) -> Result<(), String> {
        let settled = Settled { row: row.encode_to_vec().into() };
        let scan_id = row.scan_id;
        self.send(connect_request::Message::Settled(settled)).await;
        match self.next().await {
            connect_response::Message::Committed(committed) if committed.scan_id == scan_id => Ok(()),
            connect_response::Message::Refused(refused) if refused.scan_id == scan_id => Err(refused.message),
            other => panic!("no answer for {scan_id} but {other:?}"),
        }
    }

    async fn send(&self, message: connect_request::Message) {
        self.up.send(ConnectRequest { message: Some(message) }).await.expect("the stream is open");
    }

    async fn next(&mut self) -> connect_response::Message {
        let message = tokio::time::timeout(LIMIT, self.down.message()).await;
        let message = message.expect("an answer within the limit").expect("the stream is sound");
        message.and_then(|response| response.message).expect("the stream is open")
    }
}
