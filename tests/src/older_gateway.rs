//! A gateway of version 0.1 for agents: a real one behind it decides and stores, and its answers name no site.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use ovomesh_api::pb::gateway::v1::connect_request::Message as Up;
use ovomesh_api::pb::gateway::v1::connect_response::Message as Down;
use ovomesh_api::pb::gateway::v1::gateway_service_client::GatewayServiceClient;
use ovomesh_api::pb::gateway::v1::gateway_service_server::{GatewayService, GatewayServiceServer};
use ovomesh_api::pb::gateway::v1::{ConnectRequest, ConnectResponse};
use ovomesh_mesh::Lifecycle;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// The largest message, in bytes.
const LARGEST: usize = 64 << 20;

/// It runs until it is dropped.
pub struct OlderGateway {
    pub url: String,
    clashes: Arc<Mutex<Vec<String>>>,
    lifecycle: Lifecycle,
}

impl OlderGateway {
    /// Starts one in front of this gateway.
    pub async fn start(gateway: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (clashes, lifecycle) = (Arc::default(), Lifecycle::new());
        let service = Service { gateway: gateway.to_owned(), clashes: Arc::clone(&clashes) };
        let serving = tonic::transport::Server::builder()
            .add_service(GatewayServiceServer::new(service).max_decoding_message_size(LARGEST))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                lifecycle.drain.clone().cancelled_owned(),
            );
        lifecycle.spawn("older gateway", async move { serving.await.expect("it serves") });
        Self { url, clashes, lifecycle }
    }

    /// Ids that an agent had outstanding twice on one link: no agent could distinguish their answers.
    pub fn clashes(&self) -> Vec<String> {
        self.clashes.lock().clone()
    }
}

impl Drop for OlderGateway {
    fn drop(&mut self) {
        self.lifecycle.drain.cancel();
    }
}

struct Service {
    gateway: String,
    clashes: Arc<Mutex<Vec<String>>>,
}

/// Ids without an answer on one link.
#[derive(Default)]
struct Outstanding {
    scans: HashSet<String>,
    rows: HashSet<String>,
}

impl Outstanding {
    /// The id of a message, when one like it has no answer yet.
    fn sent(&mut self, message: &Up) -> Option<String> {
        let (ids, id) = match message {
            Up::Scan(scan) => (&mut self.scans, scan.scan_id.clone()),
            Up::Settled(settled) => (&mut self.rows, settled.decode_row().ok()?.scan_id),
            Up::Hello(_) | Up::SpoolStatus(_) => return None,
        };
        (!ids.insert(id.clone())).then_some(id)
    }

    fn answered(&mut self, message: &Down) {
        match message {
            Down::Decided(decided) => {
                self.scans.remove(&decided.verdict.as_ref().expect("a verdict").scan_id);
            }
            Down::Rejected(rejected) => {
                self.scans.remove(&rejected.scan_id);
            }
            Down::Committed(committed) => {
                self.rows.remove(&committed.scan_id);
            }
            Down::Refused(refused) => {
                self.rows.remove(&refused.scan_id);
            }
            Down::Welcome(_) | Down::Advice(_) | Down::Drain(_) => {}
        }
    }
}

#[tonic::async_trait]
impl GatewayService for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<ConnectResponse, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let channel = Endpoint::from_shared(self.gateway.clone())
            .expect("a URL")
            .connect()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let (clashes, outstanding) = (self.clashes.clone(), Arc::new(Mutex::new(Outstanding::default())));
        let sent = outstanding.clone();
        let up = request.into_inner().map_while(Result::ok).map(move |request| {
            clashes.lock().extend(request.message.as_ref().and_then(|message| sent.lock().sent(message)));
            request
        });
        let mut client = GatewayServiceClient::new(channel).max_encoding_message_size(LARGEST);
        let down = client.connect(up).await?.into_inner().map(move |response| {
            let mut message = response?.message;
            if let Some(message) = &message {
                outstanding.lock().answered(message);
            }
            if let Some(Down::Welcome(welcome)) = &mut message {
                welcome.names_sites = false;
            }
            Ok(ConnectResponse { message, site: String::new() })
        });
        Ok(Response::new(Box::pin(down)))
    }
}
