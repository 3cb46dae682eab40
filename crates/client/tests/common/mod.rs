//! A scripted server: each session of scanner.v1 is a function of the test.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each test program uses a part")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use ovomesh_client::pb::scan::v1::{Call, Place, Rejected, Scan, Verdict, Volume};
use ovomesh_client::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_client::pb::scanner::v1::connect_response::Message as Down;
use ovomesh_client::pb::scanner::v1::scanner_service_server::{ScannerService, ScannerServiceServer};
use ovomesh_client::pb::scanner::v1::{Accepted, Committed, ConnectRequest, ConnectResponse, Hello, Welcome};
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Nothing in a test takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What a session does; its number counts from 0. Its result ends the stream.
pub type Script =
    Arc<dyn Fn(usize, Session) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send>> + Send + Sync>;

/// The server's end of one session.
pub struct Session {
    pub hello: Hello,
    inbound: Streaming<ConnectRequest>,
    answers: mpsc::Sender<Result<ConnectResponse, Status>>,
}

impl Session {
    /// The next scan; None after the half-close.
    pub async fn scan(&mut self) -> Result<Option<Scan>, Status> {
        match self.inbound.message().await? {
            None => Ok(None),
            Some(ConnectRequest { message: Some(Up::Scan(scan)) }) => Ok(Some(scan)),
            other => Err(Status::invalid_argument(format!("not now: {other:?}"))),
        }
    }

    /// The id of a scan that must come.
    pub async fn id(&mut self) -> Result<String, Status> {
        Ok(self.scan().await?.ok_or_else(|| Status::cancelled("no scan came"))?.scan_id)
    }

    pub async fn say(&self, message: Down) -> Result<(), Status> {
        let answer = ConnectResponse { message: Some(message), ..ConnectResponse::default() };
        self.answers.send(Ok(answer)).await.map_err(|_| Status::cancelled("the client has left"))
    }

    /// Welcome with room for this many scans and volumes of a MiB.
    pub async fn welcome(&self, max_in_flight: u32) -> Result<(), Status> {
        self.say(Down::Welcome(Welcome { max_in_flight, max_volume_bytes: 1 << 20, ..Welcome::default() }))
            .await
    }

    pub async fn accept(&self, id: &str) -> Result<(), Status> {
        self.say(Down::Accepted(Accepted { scan_id: id.into() })).await
    }

    pub async fn decide(&self, id: &str) -> Result<(), Status> {
        let verdict = Verdict { scan_id: id.into(), call: Call::Female.into(), ..Verdict::default() };
        self.say(Down::Verdict(verdict)).await
    }

    pub async fn commit(&self, id: &str) -> Result<(), Status> {
        self.say(Down::Committed(Committed { scan_id: id.into() })).await
    }

    pub async fn reject(&self, rejected: Rejected) -> Result<(), Status> {
        self.say(Down::Rejected(rejected)).await
    }

    /// Decides and commits all that comes, until the half-close.
    pub async fn serve(mut self) -> Result<(), Status> {
        while let Some(scan) = self.scan().await? {
            self.decide(&scan.scan_id).await?;
            self.commit(&scan.scan_id).await?;
        }
        Ok(())
    }
}

struct Service {
    script: Script,
    count: Arc<AtomicUsize>,
    lifecycle: Lifecycle,
}

#[tonic::async_trait]
impl ScannerService for Service {
    type ConnectStream = ReceiverStream<Result<ConnectResponse, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let mut inbound = request.into_inner();
        let (answers, stream) = mpsc::channel(1_024);
        let (script, number) = (self.script.clone(), self.count.fetch_add(1, SeqCst));
        self.lifecycle.spawn("session", async move {
            let hello = match inbound.message().await {
                Ok(Some(ConnectRequest { message: Some(Up::Hello(hello)) })) => hello,
                other => panic!("no Hello but {other:?}"),
            };
            let session = Session { hello, inbound, answers: answers.clone() };
            if let Err(status) = script(number, session).await {
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Serves a script on a free port.
pub async fn serve<F>(script: impl Fn(usize, Session) -> F + Send + Sync + 'static) -> http::Uri
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let script: Script = Arc::new(move |number, session| Box::pin(script(number, session)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let lifecycle = Lifecycle::new();
    let service = Service { script, count: Arc::default(), lifecycle: lifecycle.clone() };
    let served = tonic::transport::Server::builder()
        .add_service(ScannerServiceServer::new(service).max_decoding_message_size(8 << 20))
        .serve_with_incoming(TcpIncoming::from(listener));
    lifecycle.spawn("fake gateway", async move { served.await.unwrap() });
    uri
}

/// A scan with so many bytes of samples.
pub fn scan(id: &str, bytes: usize) -> Scan {
    let place = Place { site: "s".into(), line: "l".into(), ..Place::default() };
    let volume = Volume { samples: vec![0; bytes].into(), ..Volume::default() };
    Scan { scan_id: id.into(), place: Some(place), volume: Some(volume), ..Scan::default() }
}
