//! The gRPC surface: the contracts of scanners and of sorters, and the status of this agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovomesh_api::pb::scanner::v1::ConnectRequest;
use ovomesh_api::pb::scanner::v1::scanner_service_server::ScannerService;
use ovomesh_api::pb::sorter::v1::FollowRequest;
use ovomesh_api::pb::sorter::v1::sorter_service_server::SorterService;
use ovomesh_api::thousands;
use ovomesh_bootstrap::Messages;
use ovomesh_mesh::{Lifecycle, Load};
use tonic::{Request, Response, Status, Streaming};

use crate::HEADER_BYTES;
use crate::agent::Agent;
use crate::session::{self, Outgoing};
use crate::sorter;

/// Serves scanners and sorters.
#[derive(Clone)]
pub struct Service {
    /// What sessions share.
    pub agent: Arc<Agent>,
    /// Sessions are its tasks.
    pub lifecycle: Lifecycle,
}

#[tonic::async_trait]
impl ScannerService for Service {
    type ConnectStream = Outgoing;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let drain = self.lifecycle.drain.clone();
        let inbound = Messages::new(request, self.agent.settings.max_volume_bytes + HEADER_BYTES);
        let (session, outgoing) = session::open(self.agent.clone(), inbound, drain);
        self.lifecycle.spawn("session", session);
        Ok(Response::new(outgoing))
    }
}

#[tonic::async_trait]
impl SorterService for Service {
    type FollowStream = sorter::Outgoing;

    async fn follow(
        &self,
        request: Request<Streaming<FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let drain = self.lifecycle.drain.clone();
        let (following, outgoing) = sorter::open(self.agent.clone(), request.into_inner(), drain);
        self.lifecycle.spawn("sorter", following);
        Ok(Response::new(outgoing))
    }
}

impl ovomesh_bootstrap::Status for Service {
    fn load(&self) -> Load {
        Load { outstanding: self.agent.in_flight_count() as u64, ..Load::default() }
    }

    fn details(&self) -> BTreeMap<String, String> {
        let (used, limit) = self.agent.scan_bytes();
        let (scans, verdicts) = self.agent.queue.len();
        let failed = self.agent.failed.size();
        BTreeMap::from([
            ("failed".into(), format!("{} in {} bytes", thousands(failed.count), thousands(failed.bytes))),
            ("spool".into(), format!("{} of {} bytes", thousands(used), thousands(limit))),
            ("waiting for a gateway".into(), format!("{scans} scans, {verdicts} verdicts")),
        ])
    }
}
