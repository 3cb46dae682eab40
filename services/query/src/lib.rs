//! query answers questions about stored decisions, and lets people watch.
//!
//! [`service`] is the gRPC surface; [`live`] reads the feed of every store once for all into a [`ring`]; [`watch`] is one
//! watcher, [`position`] where it is; [`gaps`] finds what a store that died had written and not told.

mod filter;
mod gaps;
mod live;
mod position;
mod ring;
mod service;
mod store;
mod stores;
mod token;
mod watch;

use ovomesh_api::pb::query::v1::query_service_server::QueryServiceServer;
use ovomesh_bootstrap::{ClientTlsArgs, Server, ServerArgs, TelemetryArgs};
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tonic::transport::Uri;

use service::Service;
use stores::Stores;

/// Name of the service.
pub const NAME: &str = "query";

/// Answers questions: an egg, a scan, a line, a live feed.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7701")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls the store.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// The results-stores: URLs separated by commas. Several must share one database: any of them is asked, and the feeds
    /// of all are watched
    #[arg(
        long,
        env = "OVOMESH_STORE",
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7702"
    )]
    pub store: Vec<Uri>,
}

/// Serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let stores = Stores::new(&args.client.connector()?, &args.store)?;
    let service = Service::new(stores, &lifecycle);
    Server::new(NAME, &args.server)
        .routes(tonic::service::Routes::new(QueryServiceServer::new(service.clone())))
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}
