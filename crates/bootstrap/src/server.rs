//! One port for everything: the service itself, health, reflection, status, and metrics for Prometheus.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tower::util::MapRequestLayer;

use crate::health::Health;
use crate::served::Served;
use crate::status::pb::status_service_server::StatusServiceServer;
use crate::status::{Serving, Status, StatusServer, pb};
use crate::{PortConfig, connection, door, inbound, metrics, served, supervisor};

/// HTTP/2 receive windows of a stream and of a connection: a few messages of the largest usual size.
const WINDOWS: (u32, u32) = (4 << 20, 8 << 20);
/// Fewer, larger frames: a volume of 128 KiB in one.
const MAX_FRAME: u32 = 1 << 20;
/// A peer that does not answer a ping for this long is gone.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

/// The two versions of reflection.
const V1: &str = "grpc.reflection.v1.ServerReflection";
const V1_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// A server that is being put together.
pub struct Server<'a> {
    service: &'static str,
    config: &'a PortConfig,
    routes: Routes,
    served: Served,
    windows: (u32, u32),
    descriptors: Vec<&'static [u8]>,
    status: Option<Arc<dyn Status>>,
    pages: Router,
}

impl<'a> Server<'a> {
    /// For a service of this name.
    pub fn new(service: &'static str, config: &'a PortConfig) -> Self {
        Self {
            service,
            config,
            routes: Routes::default(),
            served: Served::default(),
            windows: WINDOWS,
            descriptors: Vec::new(),
            status: None,
            pages: Router::new(),
        }
    }

    /// A gRPC service that it serves. Health and reflection know it by its name.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.served.add(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// Pages for plain HTTP.
    #[must_use]
    pub fn pages(mut self, pages: Router) -> Self {
        self.pages = self.pages.merge(pages);
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

    /// Says whether it is ready.
    #[must_use]
    pub fn status(mut self, status: impl Status) -> Self {
        self.status = Some(Arc::new(status));
        self
    }

    /// Serves until the drain is over and the last stream has ended.
    pub async fn serve(mut self, listener: TcpListener, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let address = listener.local_addr()?;
        let status = self.status.clone().context("a server needs a status")?;
        self.served.add(<HealthServer<Health> as NamedService>::NAME);
        self.served.add(<StatusServiceServer<StatusServer> as NamedService>::NAME);
        let health = Health::start(status.clone(), self.served.clone(), lifecycle);
        let status_server = self.config.together.join(Serving {
            service: self.service,
            instance: self.config.instance.clone(),
            started_at: SystemTime::now(),
            status: status.clone(),
        });
        let routes = self
            .routes
            .add_service(HealthServer::new(health))
            .add_service(StatusServiceServer::new(status_server))
            .add_service(reflection(&self.descriptors, &self.served, V1).build_v1()?)
            // grpcurl asks by v1, Python's client only by v1alpha.
            .add_service(reflection(&self.descriptors, &self.served, V1_ALPHA).build_v1alpha()?);
        let here = self.service;
        let router = routes
            .into_axum_router()
            .fallback(async move |request: Request| served::unimplemented(here, &request))
            .layer(MapRequestLayer::new(inbound::watch))
            .merge(self.pages)
            .merge(pages(status, lifecycle.clone()))
            .layer(axum::middleware::from_fn(connection::watch));
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

/// Lists what is served, and `own`, the reflection service itself.
fn reflection<'a>(descriptors: &[&'static [u8]], served: &Served, own: &'static str) -> Builder<'a> {
    let every = [tonic_health::pb::FILE_DESCRIPTOR_SET, pb::DESCRIPTORS];
    let builder = descriptors
        .iter()
        .copied()
        .chain(every)
        .fold(Builder::configure(), Builder::register_encoded_file_descriptor_set);
    served.names().chain([own]).fold(builder, tonic_reflection::server::Builder::with_service_name)
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
