//! A session of `scanner.v1`: connect, Hello, Welcome.

use std::time::Duration;

use futures::{Stream, StreamExt};
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, ConnectResponse, Hello, Line, Scanner, Welcome};
use tonic::Streaming;

use crate::exit::Failure;
use crate::{Global, client};

/// Version of the contract that this program speaks.
const PROTOCOL_VERSION: u32 = 1;
/// Longest wait for a session: connection, handshake, Welcome.
pub(crate) const OPENING: Duration = Duration::from_secs(10);

/// Opens a session on a connection of its own; `scans` are polled when the transport can take one.
pub(crate) async fn open(
    global: &Global,
    hello: Hello,
    scans: impl Stream<Item = ConnectRequest> + Send + 'static,
) -> anyhow::Result<(Welcome, Streaming<ConnectResponse>)> {
    let gateway = client::name(&global.gateway);
    let opening = async {
        let mut client = client::scanner(global).await?;
        let first = futures::stream::iter([ConnectRequest { message: Some(Up::Hello(hello)) }]);
        let refused = |status| client::refused(&global.gateway, &status);
        let mut inbound = client.connect(first.chain(scans)).await.map_err(refused)?.into_inner();
        match inbound.message().await.map_err(refused)?.and_then(|m| m.message) {
            Some(Down::Welcome(welcome)) => Ok((welcome, inbound)),
            Some(Down::Rejected(rejected)) => anyhow::bail!("{gateway} refused Hello: {}", rejected.message),
            _ => anyhow::bail!("{gateway} answered Hello with something other than Welcome"),
        }
    };
    tokio::time::timeout(OPENING, opening).await.unwrap_or_else(|_| {
        let gateway = client::name(&global.gateway);
        let seconds = OPENING.as_secs();
        Err(Failure::NoServer(format!("{gateway} did not open a session within {seconds} s")).into())
    })
}

/// How this program introduces itself.
pub(crate) fn hello(model: &str, serial: String, max_volume_bytes: u64, lines: Vec<Line>) -> Hello {
    Hello {
        scanner: Some(Scanner {
            vendor: "ovomesh".into(),
            model: model.into(),
            serial,
            software: env!("CARGO_PKG_VERSION").into(),
        }),
        max_volume_bytes,
        protocol_version: PROTOCOL_VERSION,
        lines,
    }
}
