//! One stream of a scanner that reads as sentences. It hides nothing and repairs nothing: a break, a second answer or a
//! refusal is what the test receives, and any message may be sent in any order. `ovomesh_client::Scanner`, which connects and
//! sends again, could not show them; a test that wants an honest scanner over breaks uses that.

use std::time::Duration;

use ovomesh_api::pb::scan::v1::{Rejected, Scan, Verdict};
use ovomesh_api::pb::scanner::v1::scanner_service_client::ScannerServiceClient;
use ovomesh_api::pb::scanner::v1::{
    ConnectRequest, ConnectResponse, Hello, TrayAccepted, Welcome, connect_request, connect_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

/// Nothing in a test takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);

/// One stream to a gateway.
pub struct Session {
    up: Option<mpsc::Sender<ConnectRequest>>,
    down: Streaming<ConnectResponse>,
    /// The site that the last answer named.
    pub site: String,
}

/// An answer to a scan, or the end of the stream.
#[derive(Debug)]
pub enum Answer {
    Verdict(Box<Verdict>),
    Rejected(Rejected),
    /// The scan is durable at an agent.
    Accepted(String),
    /// The verdict of this scan is stored.
    Committed(String),
    /// A tray was understood.
    Tray(TrayAccepted),
    /// The stream ended in good order.
    Ended,
    /// The stream ended with an error.
    Broke(Status),
}

impl Session {
    /// Connects without a Hello.
    pub async fn connect(gateway: &str) -> Self {
        let channel = Endpoint::from_shared(gateway.to_owned())
            .expect("a URL")
            .connect()
            .await
            .expect("a gateway listens");
        let (up, messages) = mpsc::channel(256);
        let mut client = ScannerServiceClient::new(channel).max_encoding_message_size(64 << 20);
        let down = client.connect(ReceiverStream::new(messages)).await.expect("a stream").into_inner();
        Self { up: Some(up), down, site: String::new() }
    }

    /// Connects, says Hello and waits for Welcome.
    pub async fn open(gateway: &str) -> (Self, Welcome) {
        let mut session = Self::connect(gateway).await;
        session.hello(super::hello()).await;
        match session.next().await {
            Ok(Some(connect_response::Message::Welcome(welcome))) => (session, welcome),
            other => panic!("no Welcome but {other:?}"),
        }
    }

    pub async fn send(&mut self, message: Option<connect_request::Message>) {
        if let Some(up) = &self.up {
            // The next answer reports a stream that broke.
            let _ = up.send(ConnectRequest { message }).await;
        }
    }

    pub async fn hello(&mut self, hello: Hello) {
        self.send(Some(connect_request::Message::Hello(hello))).await;
    }

    pub async fn scan(&mut self, scan: Scan) {
        self.send(Some(connect_request::Message::Scan(scan))).await;
    }

    pub fn half_close(&mut self) {
        self.up = None;
    }

    /// The next message that is about a scan or a tray, or the end.
    pub async fn answer(&mut self) -> Answer {
        loop {
            match self.next().await {
                Ok(Some(connect_response::Message::Verdict(verdict))) => {
                    return Answer::Verdict(Box::new(verdict));
                }
                Ok(Some(connect_response::Message::Rejected(rejected))) => return Answer::Rejected(rejected),
                Ok(Some(connect_response::Message::Committed(c))) => return Answer::Committed(c.scan_id),
                Ok(Some(connect_response::Message::TrayAccepted(tray))) => return Answer::Tray(tray),
                Ok(Some(connect_response::Message::Accepted(a))) => return Answer::Accepted(a.scan_id),
                Ok(Some(_)) => {}
                Ok(None) => return Answer::Ended,
                Err(status) => return Answer::Broke(status),
            }
        }
    }

    /// The next verdict or refusal; what was accepted or committed meanwhile is passed over.
    pub async fn decision(&mut self) -> Answer {
        loop {
            match self.answer().await {
                Answer::Accepted(_) | Answer::Committed(_) => {}
                other => return other,
            }
        }
    }

    /// The verdict of a scan that must have one.
    pub async fn verdict(&mut self) -> Verdict {
        match self.decision().await {
            Answer::Verdict(verdict) => *verdict,
            other => panic!("no verdict but {other:?}"),
        }
    }

    /// The refusal of a scan that must be refused.
    pub async fn rejected(&mut self) -> Rejected {
        match self.decision().await {
            Answer::Rejected(rejected) => rejected,
            other => panic!("not rejected but {other:?}"),
        }
    }

    async fn next(&mut self) -> Result<Option<connect_response::Message>, Status> {
        let message =
            tokio::time::timeout(LIMIT, self.down.message()).await.expect("an answer within the limit")?;
        Ok(message.map(|response| {
            self.site = response.site;
            response.message.expect("a message that is known")
        }))
    }
}
