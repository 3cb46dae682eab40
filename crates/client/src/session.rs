//! One stream of one scanner, from Hello to its end.

use std::time::Duration;

use futures::StreamExt as _;
use http::Uri;
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::scanner_service_client::ScannerServiceClient;
use ovomesh_api::pb::scanner::v1::{ConnectRequest, ConnectResponse, Hello, Welcome};
use ovomesh_mesh::{Connector, explain};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::error::{Error, name};
use crate::flight::Timed;

/// Version of the contract that this crate speaks.
const PROTOCOL_VERSION: u32 = 1;

/// An open stream.
pub(crate) struct Session {
    pub(crate) server: Uri,
    pub(crate) welcome: Welcome,
    /// Room for one scan, which waits here until the transport can take it. None: half-closed.
    scans: Option<mpsc::Sender<Timed>>,
    answers: Streaming<ConnectResponse>,
}

impl Session {
    /// Connects, says Hello and waits for Welcome, within a limit for all of it.
    pub(crate) async fn open(
        server: Uri,
        connector: Connector,
        hello: Hello,
        limit: Duration,
    ) -> Result<Self, Error> {
        let late = Error::Late { server: name(&server), limit };
        tokio::time::timeout(limit, Self::greet(server, connector, hello)).await.unwrap_or(Err(late))
    }

    async fn greet(server: Uri, connector: Connector, hello: Hello) -> Result<Self, Error> {
        let channel = connector
            .connect(&server)
            .await
            .map_err(|error| Error::Unreachable { server: name(&server), cause: explain(&error) })?;
        let hello = Hello { protocol_version: PROTOCOL_VERSION, ..hello };
        let hello = futures::stream::iter([ConnectRequest { message: Some(Up::Hello(hello)) }]);
        let (scans, outgoing) = mpsc::channel(1);
        // Written when the transport takes it: its budget counts the time until then.
        let outgoing = ReceiverStream::new(outgoing)
            .map(|timed: Timed| ConnectRequest { message: Some(Up::Scan(timed.write(Instant::now()))) });
        let failed = |status| Error::status(&server, status);
        let mut client = ScannerServiceClient::new(channel);
        let mut answers = client.connect(hello.chain(outgoing)).await.map_err(failed)?.into_inner();
        match answers.message().await.map_err(failed)? {
            Some(ConnectResponse { message: Some(Down::Welcome(welcome)), .. }) => {
                Ok(Self { server, welcome, scans: Some(scans), answers })
            }
            Some(ConnectResponse { message: Some(Down::Rejected(rejected)), .. }) => {
                Err(Error::HelloRefused { server: name(&server), rejected: Box::new(rejected) })
            }
            Some(_) => {
                let what = "its first message is neither Welcome nor Rejected";
                Err(Error::Violation { server: name(&server), what })
            }
            None => Err(Error::Ended { server: name(&server) }),
        }
    }

    /// Sends nothing more: the server answers what is left and ends the stream.
    pub(crate) fn half_close(&mut self) {
        self.scans = None;
    }

    /// Hands `next` to the transport as soon as that has room, or reads an answer, whichever is first. Nothing is lost
    /// when this is given up.
    pub(crate) async fn step(&mut self, next: Option<Timed>) -> Step {
        let Self { server, scans, answers, .. } = self;
        let room = async {
            // The channel of a broken stream is closed: the answers say what broke it.
            if let (Some(scans), Some(next)) = (scans, next)
                && let Ok(room) = scans.reserve().await
            {
                return (room, next);
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = answers.message() => Step::Answer(match answer {
                Ok(Some(answer)) => Ok(answer.message),
                Ok(None) => Err(Error::Ended { server: name(server) }),
                Err(status) => Err(Error::status(server, status)),
            }),
            (room, next) = room => {
                room.send(next);
                Step::Sent
            }
        }
    }
}

/// What happened on a session.
#[allow(clippy::large_enum_variant, reason = "it is looked at once, where it is made")]
pub(crate) enum Step {
    /// An answer arrived, of a kind that is not known where it is None; or the session is over.
    Answer(Result<Option<Down>, Error>),
    /// The scan is with the transport.
    Sent,
}
