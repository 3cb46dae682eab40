//! A scanner that writes bytes, not messages: what a broken one sends.

use std::net::Ipv4Addr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::SendStream;
use h2::client::ResponseFuture;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, ConnectResponse, connect_request, connect_response};
use prost::Message as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tonic::Status;

use crate::LIMIT;

/// One call of `Connect`, byte by byte.
pub struct Raw {
    up: SendStream<Bytes>,
    response: ResponseFuture,
    /// Drives the connection until this is dropped.
    connection: JoinSet<()>,
}

/// How a call is opened.
pub struct Opening<'a> {
    /// The address that it comes from, of this machine's 127.0.0.0/8.
    pub source: Ipv4Addr,
    /// Bytes of answers that it lets out.
    pub window: u32,
    pub service: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
}

/// A scanner of this machine.
impl Default for Opening<'_> {
    fn default() -> Self {
        let service = "ovomesh.scanner.v1.ScannerService";
        Self { source: Ipv4Addr::LOCALHOST, window: 1 << 20, service, headers: &[] }
    }
}

impl Raw {
    /// Opens a call and sends nothing yet.
    pub async fn open(gateway: &str) -> Self {
        Self::open_with(gateway, &[]).await
    }

    /// The same with more headers.
    pub async fn open_with(gateway: &str, headers: &[(&str, &str)]) -> Self {
        Self::open_as(gateway, &Opening { headers, ..Opening::default() }).await.expect("it takes the call")
    }

    /// The same in another way. An error: the connection was closed.
    pub async fn open_as(gateway: &str, opening: &Opening<'_>) -> Result<Self, h2::Error> {
        let stream = connect_from(opening.source, gateway).await;
        let mut settings = h2::client::Builder::new();
        settings.initial_window_size(opening.window).initial_connection_window_size(1 << 20);
        let (client, connection) = settings.handshake(stream).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // The call reports how it ends.
            let _ = connection.await;
        });
        let request = http::Request::post(format!("{gateway}/{}/Connect", opening.service))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request =
            opening.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).expect("a request");
        let mut client = client.ready().await?;
        let (response, up) = client.send_request(request, false)?;
        Ok(Self { up, response, connection: driver })
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

    /// Waits for the first answer and leaves it there. An error: how the call ended instead.
    pub async fn answered(&mut self) -> Result<(), Status> {
        let answered = async {
            let broken = |error: h2::Error| Status::unknown(error.to_string());
            let mut body = (&mut self.response).await.map_err(broken)?.into_body();
            match body.data().await {
                Some(data) => data.map(|_| ()).map_err(broken),
                None => {
                    let trailers = body.trailers().await.map_err(broken)?.expect("trailers");
                    Err(Status::from_header_map(&trailers).expect("a gRPC status"))
                }
            }
        };
        tokio::time::timeout(LIMIT, answered).await.expect("an answer within the limit")
    }

    /// Comes back when the server has closed the connection.
    pub async fn closed(mut self) {
        let closed = tokio::time::timeout(LIMIT, self.connection.join_next()).await;
        closed.expect("it is closed within the limit");
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

/// A connection of this address of the machine.
pub async fn connect_from(source: Ipv4Addr, gateway: &str) -> TcpStream {
    let address = gateway.strip_prefix("http://").expect("a plain-text URL").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((source, 0).into()).expect("an address of this machine");
    socket.connect(address).await.expect("a gateway listens")
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
