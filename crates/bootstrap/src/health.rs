//! The standard health service: SERVING while the service is ready, NOT_SERVING for good once the drain has begun.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use ovomesh_mesh::Lifecycle;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as Service;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::served::Served;
use crate::status;

/// How often the service is asked whether it is ready.
const EVERY: Duration = Duration::from_millis(200);

/// Knows the whole server (the empty name) and each service on its port, which are all as the server is. Its watches end
/// when the drain begins, so that none of them keeps a connection, and with it the process, waiting.
pub(crate) struct Health {
    status: watch::Receiver<ServingStatus>,
    served: Served,
}

impl Health {
    /// Asks `status` from now on until the drain.
    pub(crate) fn start(status: Arc<dyn status::Status>, served: Served, lifecycle: &Lifecycle) -> Self {
        let (send, receive) = watch::channel(serving(status.ready()));
        let drain = lifecycle.drain.clone();
        lifecycle.spawn("health", async move {
            while !drain.is_cancelled() {
                let now = serving(status.ready());
                send.send_if_modified(|before| std::mem::replace(before, now) != now);
                let _ = tokio::time::timeout(EVERY, drain.cancelled()).await;
            }
            send.send_replace(ServingStatus::NotServing);
        });
        Self { status: receive, served }
    }

    fn knows(&self, request: &HealthCheckRequest) -> Result<(), Status> {
        let name = request.service.as_str();
        if name.is_empty() || self.served.contains(name) {
            return Ok(());
        }
        Err(Status::not_found(format!("`{name}` is not on this port; ask with no name for the whole server")))
    }
}

fn serving(ready: bool) -> ServingStatus {
    if ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for Health {
    type WatchStream = std::pin::Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.knows(request.get_ref())?;
        Ok(Response::new(answer(*self.status.borrow())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.knows(request.get_ref())?;
        let changes = WatchStream::new(self.status.clone()).map(|status| Ok(answer(status)));
        Ok(Response::new(Box::pin(changes)))
    }
}
