//! What every ovomesh service starts with: flags, listener, health, reflection, status, TLS, telemetry, drain.
//!
//! A service's `main` parses its flags and calls [`main`], which makes a config of them: plain values, checked, with all
//! files read. Its `run(config, listener, lifecycle)` puts a [`Server`] together. Tests and `ovomeshd` call the same `run`
//! with a config of their own and a listener on port 0.

mod args;
mod configuration;
mod connection;
pub mod discover;
mod door;
mod errors;
mod health;
mod inbound;
mod metrics;
mod port;
mod run;
mod served;
mod server;
pub mod status;
mod supervisor;
mod telemetry;
pub mod terminal;
mod throttle;
mod tls;
pub mod trace;
#[cfg(feature = "kubernetes")]
mod watch_backoff;

pub use args::{ClientTlsArgs, LogFormat, ServerArgs, TelemetryArgs};
pub use configuration::configuration;
pub use connection::Connection;
pub use inbound::{Hold, MESSAGE_WITHOUT_ROOM, Messages, Received, Room, Skipped, Why};
pub use ovomesh_mesh::{Lifecycle, Load};
pub use port::PortConfig;
pub use run::{Failure, main, runtime};
pub use server::Server;
pub use status::Status;
pub use telemetry::{Telemetry, start as start_telemetry};
pub use throttle::Throttle;
pub use tls::{client_config, install_provider};
#[cfg(feature = "kubernetes")]
pub use watch_backoff::WatchBackoff;

/// Whether a request is a gRPC call.
pub(crate) fn is_grpc(request: &axum::extract::Request) -> bool {
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
