//! The gRPC surface: two contracts over one kind of session, and the status of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::gateway::v1::gateway_service_server::GatewayService;
use ovomesh_api::pb::scanner::v1::scanner_service_server::ScannerService;
use ovomesh_api::pb::{gateway::v1 as gateway, scanner::v1 as scanner};
use ovomesh_mesh::{Lifecycle, Load};
use tonic::{Request, Response, Status, Streaming};

use crate::dialect::{Agent, Dialect, Scanner};
use crate::gateway::Gateway;
use crate::outbox::Outgoing;
use crate::session;

/// Serves both contracts.
#[derive(Clone)]
pub struct Service {
    /// What sessions share.
    pub gateway: Arc<Gateway>,
    /// Sessions are its tasks.
    pub lifecycle: Lifecycle,
    /// What an agent has to leave after Drain.
    pub grace: Duration,
}

impl Service {
    fn open<D: Dialect>(&self, request: Request<Streaming<D::Request>>) -> Response<Outgoing<D::Response>> {
        let outgoing =
            session::open::<D>(self.gateway.clone(), request, &self.lifecycle, rand::random(), self.grace);
        Response::new(outgoing)
    }
}

#[tonic::async_trait]
impl ScannerService for Service {
    type ConnectStream = Outgoing<scanner::ConnectResponse>;

    async fn connect(
        &self,
        request: Request<Streaming<scanner::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        Ok(self.open::<Scanner>(request))
    }
}

#[tonic::async_trait]
impl GatewayService for Service {
    type ConnectStream = Outgoing<gateway::ConnectResponse>;

    async fn connect(
        &self,
        request: Request<Streaming<gateway::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        Ok(self.open::<Agent>(request))
    }
}

impl ovomesh_bootstrap::Status for Service {
    /// Ready even without stages: scans are answered EXPIRED then, and scanners need not learn to reconnect.
    fn ready(&self) -> bool {
        !self.lifecycle.drain.is_cancelled()
    }

    fn load(&self) -> Load {
        let backlog = &self.gateway.backlog;
        Load { outstanding: backlog.len(), oldest: backlog.oldest(), ..Load::default() }
    }

    fn details(&self) -> BTreeMap<String, String> {
        let mut details = self.gateway.pipeline.details();
        details.extend([self.gateway.storing.details()]);
        details
    }
}
