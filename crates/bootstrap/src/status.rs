//! `ovomesh.status.v1`: how this process is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use ovomesh_mesh::Load;
use parking_lot::Mutex;
use tonic::{Request, Response};

use crate::errors;

/// Generated from `ovomesh.status.v1`.
#[allow(missing_docs, clippy::all)]
pub mod pb {
    tonic::include_proto!("ovomesh.status.v1");
    /// Encoded descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/status.bin"));
}

/// What only the service itself knows.
pub trait Status: Send + Sync + 'static {
    /// Whether it takes work. Most do from the moment they listen.
    fn ready(&self) -> bool {
        true
    }
    /// Calls or scans taken and not yet answered.
    fn load(&self) -> Load {
        Load::default()
    }
    /// Facts that only this kind of service has.
    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// One service of this process.
pub(crate) struct Serving {
    pub(crate) service: &'static str,
    pub(crate) instance: String,
    pub(crate) started_at: SystemTime,
    pub(crate) status: Arc<dyn Status>,
}

impl Serving {
    fn response(&self) -> pb::GetStatusResponse {
        let (last_error, last_error_at) = match errors::last() {
            Some((text, at)) => (text, Some(at.into())),
            None => Default::default(),
        };
        let load = self.status.load();
        let oldest = load.oldest.unwrap_or_default().as_millis();
        pb::GetStatusResponse {
            service: self.service.into(),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: Some(self.started_at.into()),
            ready: self.status.ready(),
            backlog: load.outstanding,
            oldest_unanswered_ms: u64::try_from(oldest).unwrap_or(u64::MAX),
            last_error,
            last_error_at,
            details: self.status.details().into_iter().collect(),
            same_process: Vec::new(),
        }
    }
}

/// The services that share a process: those whose configs are clones of one.
#[derive(Clone, Default)]
pub struct Together(Arc<Mutex<Vec<Arc<Serving>>>>);

impl Together {
    /// Adds a service for as long as the result lives.
    pub(crate) fn join(&self, serving: Serving) -> StatusServer {
        let serving = Arc::new(serving);
        self.0.lock().push(serving.clone());
        StatusServer(Arc::new(Membership { serving, together: self.clone() }))
    }
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.lock().iter().map(|serving| serving.service)).finish()
    }
}

struct Membership {
    serving: Arc<Serving>,
    together: Together,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.together.0.lock().retain(|other| !Arc::ptr_eq(other, &self.serving));
    }
}

/// Answers `GetStatus`.
pub(crate) struct StatusServer(Arc<Membership>);

#[tonic::async_trait]
impl pb::status_service_server::StatusService for StatusServer {
    async fn get_status(
        &self,
        _: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, tonic::Status> {
        let Membership { serving, together } = &*self.0;
        // A status may look into locks of its own: the list is not held meanwhile.
        let all = together.0.lock().clone();
        let others = all.iter().filter(|other| !Arc::ptr_eq(other, serving));
        // The last error is one of the process, and is said once.
        let once = |other: &Arc<Serving>| pb::GetStatusResponse {
            last_error: String::new(),
            last_error_at: None,
            ..other.response()
        };
        let same_process = others.map(once).collect();
        Ok(Response::new(pb::GetStatusResponse { same_process, ..serving.response() }))
    }
}
