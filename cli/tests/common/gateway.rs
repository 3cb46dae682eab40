//! A gateway that decides nothing, checks everything it is sent, and misbehaves when asked to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{self as pb, Call, Rejected, Timings, UndecidedReason, Verdict};
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_api::pb::scanner::v1::scanner_service_server::{ScannerService, ScannerServiceServer};
use ovomesh_api::pb::scanner::v1::{Committed, ConnectRequest, ConnectResponse, Hello, Welcome};
use ovomesh_api::{MAX_VOLUME_BYTES, Scan};
use ovomesh_bootstrap::Lifecycle;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

type Answer = Result<ConnectResponse, Status>;

/// What to do with the scan that comes as the so manieth of all (from 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    Decide(Call),
    Expire,
    Reject,
    AnswerTwice,
    /// No answer, ever.
    Swallow,
    /// Ends the stream without an answer to this scan.
    Break,
    /// Reads nothing more from this stream for a while, then decides.
    Pause(Duration),
    /// Answers for a scan that nobody sent.
    Invent,
    /// Decides and never says Committed.
    NeverCommit,
    /// Decides and ends the stream before Committed.
    DecideAndBreak,
}

pub type Plan = fn(u64) -> Act;

/// A scan as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedScan {
    pub scan: Scan,
    pub hello: Hello,
    pub at: Timestamp,
}

pub struct Gateway {
    pub url: String,
    received: Arc<Mutex<Vec<ReceivedScan>>>,
    lifecycle: Lifecycle,
}

impl Gateway {
    /// Starts one on a free port. Its windows are small, so that a test can see what waits in the client.
    pub async fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (received, lifecycle) = (Arc::default(), Lifecycle::new());
        let service = Service { plan, received: Arc::clone(&received), lifecycle: lifecycle.clone() };
        let served = tonic::transport::Server::builder()
            .initial_stream_window_size(64 << 10)
            .initial_connection_window_size(64 << 10)
            .add_service(ScannerServiceServer::new(service).max_decoding_message_size(8 << 20))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                lifecycle.drain.clone().cancelled_owned(),
            );
        lifecycle.spawn("fake gateway", async move { served.await.unwrap() });
        Self { url, received, lifecycle }
    }

    /// Every scan in the order of arrival, repeats included.
    pub fn received(&self) -> Vec<ReceivedScan> {
        self.received.lock().clone()
    }

    /// The scans by their id.
    pub fn by_id(&self) -> HashMap<String, Vec<ReceivedScan>> {
        let mut by_id: HashMap<String, Vec<ReceivedScan>> = HashMap::new();
        for received in self.received() {
            by_id.entry(received.scan.meta.scan_id.to_string()).or_default().push(received);
        }
        by_id
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.lifecycle.drain.cancel();
    }
}

struct Service {
    plan: Plan,
    received: Arc<Mutex<Vec<ReceivedScan>>>,
    lifecycle: Lifecycle,
}

#[tonic::async_trait]
impl ScannerService for Service {
    type ConnectStream = ReceiverStream<Answer>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (answers, stream) = mpsc::channel(1_024);
        let session = Session { plan: self.plan, received: self.received.clone(), answers: answers.clone() };
        self.lifecycle.spawn("session", async move {
            if let Err(status) = session.run(request.into_inner()).await {
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Session {
    plan: Plan,
    received: Arc<Mutex<Vec<ReceivedScan>>>,
    answers: mpsc::Sender<Answer>,
}

impl Session {
    async fn run(&self, mut inbound: Streaming<ConnectRequest>) -> Result<(), Status> {
        let mut hello = None;
        while let Some(message) = inbound.message().await? {
            match (message.message, &hello) {
                (Some(Up::Hello(first)), None) if first.protocol_version == 1 => {
                    let max_volume_bytes = MAX_VOLUME_BYTES;
                    self.say(Down::Welcome(Welcome {
                        max_in_flight: 256,
                        max_volume_bytes,
                        ..Default::default()
                    }))
                    .await?;
                    hello = Some(first);
                }
                (Some(Up::Scan(scan)), Some(hello)) => self.scan(scan, hello).await?,
                (other, _) => return Err(Status::invalid_argument(format!("not now: {other:?}"))),
            }
        }
        Ok(())
    }

    async fn scan(&self, scan: pb::Scan, hello: &Hello) -> Result<(), Status> {
        let at = Timestamp::now();
        // The contract's own check, checksum included. What fails it fails the test: the stream says so.
        let scan = Scan::parse(scan, MAX_VOLUME_BYTES, at)
            .map_err(|invalid| Status::invalid_argument(invalid.message))?;
        let place = &scan.meta.place;
        if !hello
            .lines
            .iter()
            .any(|l| (l.site.as_str(), l.line.as_str()) == (place.site().as_str(), place.line().as_str()))
        {
            return Err(Status::invalid_argument(format!("{place:?} was not announced: {:?}", hello.lines)));
        }
        let id = scan.meta.scan_id.to_string();
        let count = {
            let mut received = self.received.lock();
            received.push(ReceivedScan { scan, hello: hello.clone(), at });
            received.len() as u64
        };
        match (self.plan)(count) {
            Act::Decide(call) => self.decide(&id, call, true).await,
            Act::NeverCommit => self.decide(&id, Call::Female, false).await,
            Act::DecideAndBreak => {
                self.decide(&id, Call::Female, false).await?;
                Err(Status::unavailable("this gateway is leaving"))
            }
            Act::Expire => {
                let reason = UndecidedReason::Expired.into();
                self.say(Down::Verdict(Verdict {
                    scan_id: id.clone(),
                    call: Call::Undecided.into(),
                    reason,
                    ..Default::default()
                }))
                .await?;
                self.say(Down::Committed(Committed { scan_id: id })).await
            }
            Act::Reject => {
                let (code, message) = (pb::RejectCode::Overloaded.into(), format!("scan {id}: no room"));
                self.say(Down::Rejected(Rejected {
                    scan_id: id,
                    code,
                    message,
                    retryable: true,
                    ..Default::default()
                }))
                .await
            }
            Act::AnswerTwice => {
                self.decide(&id, Call::Female, true).await?;
                self.decide(&id, Call::Male, true).await
            }
            Act::Invent => {
                self.decide(&format!("{id}999999"), Call::Male, false).await?;
                self.decide(&id, Call::Female, true).await
            }
            Act::Swallow => Ok(()),
            Act::Break => Err(Status::unavailable("this gateway is leaving")),
            Act::Pause(time) => {
                tokio::time::sleep(time).await;
                self.decide(&id, Call::Female, true).await
            }
        }
    }

    async fn decide(&self, id: &str, call: Call, commit: bool) -> Result<(), Status> {
        let timings = Some(Timings {
            total_us: 900,
            preprocess_queued_us: 50,
            preprocess_us: 300,
            inference_queued_us: 100,
            inference_us: 400,
        });
        let (quality, scores) = (Some(pb::Quality::default()), Some(pb::Scores::default()));
        let verdict =
            Verdict { scan_id: id.into(), call: call.into(), timings, quality, scores, ..Default::default() };
        self.say(Down::Verdict(verdict)).await?;
        if commit {
            self.say(Down::Committed(Committed { scan_id: id.into() })).await?;
        }
        Ok(())
    }

    async fn say(&self, message: Down) -> Result<(), Status> {
        let message = ConnectResponse { message: Some(message), ..ConnectResponse::default() };
        self.answers.send(Ok(message)).await.map_err(|_| Status::cancelled("the client has left"))
    }
}
