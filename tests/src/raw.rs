//! A scanner that writes bytes, not messages: what a broken one sends.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::SendStream;
use h2::client::ResponseFuture;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, ConnectResponse, connect_request, connect_response};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Status;

use crate::LIMIT;

/// One call of `ScannerService.Connect`, byte by byte.
pub struct Raw {
    up: SendStream<Bytes>,
    response: ResponseFuture,
    /// Drives the connection until this is dropped.
    _connection: JoinSet<()>,
}

impl Raw {
    /// Opens a call and sends nothing yet.
    pub async fn open(gateway: &str) -> Self {
        Self::open_with(gateway, &[]).await
    }

    /// The same with more headers.
    pub async fn open_with(gateway: &str, headers: &[(&str, &str)]) -> Self {
        let address = gateway.strip_prefix("http://").expect("a plain-text URL");
        let stream = TcpStream::connect(address).await.expect("a gateway listens");
        let (client, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // The call reports how it ends.
            let _ = connection.await;
        });
        let request = http::Request::post(format!("{gateway}/ovomesh.scanner.v1.ScannerService/Connect"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).expect("a request");
        let mut client = client.ready().await.expect("room for a call");
        let (response, up) = client.send_request(request, false).expect("a call");
        Self { up, response, _connection: driver }
    }

    /// Sends a whole, valid message.
    pub fn message(&mut self, message: connect_request::Message) {
        self.write(framed(&ConnectRequest { message: Some(message) }.encode_to_vec()));
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: impl Into<Bytes>) {
        self.up.send_data(bytes.into(), false).expect("the call is open");
    }

    /// Ends its half of the call.
    pub fn half_close(&mut self) {
        self.up.send_data(Bytes::new(), true).expect("the call is open");
    }

    /// The status of a call that is refused before it begins.
    pub async fn refusal(self) -> Status {
        let response = tokio::time::timeout(LIMIT, self.response).await.expect("an answer within the limit");
        Status::from_header_map(response.expect("headers").headers()).expect("a gRPC status")
    }

    /// Sends nothing more, without ending its half of the call, and reads to the end of the other half.
    pub async fn answers(self) -> (Vec<connect_response::Message>, Status) {
        let reading = async {
            let mut body = self.response.await.expect("headers").into_body();
            let (mut bytes, mut answers) = (BytesMut::new(), Vec::new());
            while let Some(data) = body.data().await {
                let data = data.expect("no reset before the status");
                body.flow_control().release_capacity(data.len()).expect("it was received");
                bytes.extend_from_slice(&data);
                while let Some(message) = unframed(&mut bytes) {
                    let response = ConnectResponse::decode(message).expect("a response");
                    answers.extend(response.message);
                }
            }
            let trailers = body.trailers().await.expect("no reset").expect("trailers");
            (answers, Status::from_header_map(&trailers).expect("a gRPC status"))
        };
        tokio::time::timeout(LIMIT, reading).await.expect("the stream ends within the limit")
    }
}

/// A message with the five bytes before it: not compressed, and its length.
pub fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).expect("a small message"));
    bytes.extend_from_slice(message);
    bytes.freeze()
}

fn unframed(bytes: &mut BytesMut) -> Option<Bytes> {
    let [_, length @ ..] = bytes.first_chunk::<5>()?;
    let end = 5 + u32::from_be_bytes(*length) as usize;
    (bytes.len() >= end).then(|| bytes.split_to(end).freeze().slice(5..))
}
