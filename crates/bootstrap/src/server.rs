//! One port for everything: the service itself, health, reflection, status, and metrics for Prometheus.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower::util::MapRequestLayer;

use crate::health::Health;
use crate::status::{Status, StatusServer, pb};
use crate::{PortConfig, door, metrics, stalled, supervisor};

/// HTTP/2 receive windows of a stream and of a connection: a few messages of the largest usual size.
const WINDOWS: (u32, u32) = (4 << 20, 8 << 20);
/// Fewer, larger frames: a volume of 128 KiB in one.
const MAX_FRAME: u32 = 1 << 20;
/// A peer that does not answer a ping for this long is gone.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

/// A server that is being put together.
pub struct Server<'a> {
    service: &'static str,
    config: &'a PortConfig,
    routes: Routes,
    windows: (u32, u32),
    descriptors: Vec<&'static [u8]>,
    status: Option<Arc<dyn Status>>,
}

impl<'a> Server<'a> {
    /// For a service of this name.
    pub fn new(service: &'static str, config: &'a PortConfig) -> Self {
        Self {
            service,
            config,
            routes: Routes::default(),
            windows: WINDOWS,
            descriptors: Vec::new(),
            status: None,
        }
    }

    /// What it serves.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = routes;
        self
    }

    /// HTTP/2 receive windows of a stream and of a connection in bytes, for a service with a memory budget.
    #[must_use]
    pub fn windows(mut self, stream: u32, connection: u32) -> Self {
        self.windows = (stream, connection);
        self
    }

    /// Encoded descriptors for reflection.
    #[must_use]
    pub fn descriptors(mut self, descriptors: &[&'static [u8]]) -> Self {
        self.descriptors.extend_from_slice(descriptors);
        self
    }

    /// Who tells whether it is ready.
    #[must_use]
    pub fn status(mut self, status: impl Status) -> Self {
        self.status = Some(Arc::new(status));
        self
    }

    /// Serves until the drain is over and the last stream has ended.
    pub async fn serve(self, listener: TcpListener, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let address = listener.local_addr()?;
        let status = self.status.clone().context("a server needs a status")?;
        let health = Health::start(status.clone(), lifecycle);
        let status_server = StatusServer {
            service: self.service,
            instance: self.config.instance.clone(),
            started_at: SystemTime::now(),
            status: status.clone(),
        };
        let routes = self
            .routes
            .add_service(HealthServer::new(health))
            .add_service(pb::status_service_server::StatusServiceServer::new(status_server))
            .add_service(reflection(&self.descriptors).build_v1()?)
            // grpcurl asks by v1, Python's client only by v1alpha.
            .add_service(reflection(&self.descriptors).build_v1alpha()?);
        let router = routes
            .into_axum_router()
            .layer(MapRequestLayer::new(stalled::watch))
            .merge(pages(status, lifecycle.clone()));
        let mut builder = tonic::transport::Server::builder()
            .accept_http1(true)
            .initial_stream_window_size(self.windows.0)
            .initial_connection_window_size(self.windows.1)
            .max_frame_size(MAX_FRAME)
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1));
        let drained = lifecycle.drain.clone().cancelled_owned();
        supervisor::serves();
        let served = match self.config.tls.clone() {
            Some(tls) => {
                let incoming = door::tls(listener, tls);
                builder.add_routes(router.into()).serve_with_incoming_shutdown(incoming, drained).await
            }
            None => {
                let incoming = door::plain(listener);
                builder.add_routes(router.into()).serve_with_incoming_shutdown(incoming, drained).await
            }
        };
        served.with_context(|| format!("serving {} on {address}", self.service))
    }
}

fn reflection<'a>(descriptors: &[&'static [u8]]) -> tonic_reflection::server::Builder<'a> {
    let own = [tonic_health::pb::FILE_DESCRIPTOR_SET, pb::DESCRIPTORS];
    descriptors.iter().copied().chain(own).fold(
        tonic_reflection::server::Builder::configure(),
        tonic_reflection::server::Builder::register_encoded_file_descriptor_set,
    )
}

/// What Prometheus and probes ask for.
fn pages(status: Arc<dyn Status>, lifecycle: Lifecycle) -> Router {
    metrics::handle();
    let ready = move || async move {
        if status.ready() && !lifecycle.drain.is_cancelled() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    };
    Router::new()
        .route("/metrics", get(|| async { metrics::render() }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}
