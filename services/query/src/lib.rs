//! query answers questions about stored decisions, and lets people watch.
//!
//! [`service`] is the gRPC surface; [`live`] reads the store's feed once for all; [`watch`] is one watcher.

mod filter;
mod live;
mod service;
mod token;
mod watch;

use anyhow::Context as _;
use ovomesh_api::pb::query::v1::query_service_server::QueryServiceServer;
use ovomesh_api::pb::store::v1::store_service_client::StoreServiceClient;
use ovomesh_bootstrap::{ClientTlsArgs, Server, ServerArgs, TelemetryArgs};
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Uri};

use live::Live;
use service::Service;

/// Name of the service.
pub const NAME: &str = "query";

/// A page of a thousand rows has about 500 KB.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// The store, as a client sees it.
type Store = StoreServiceClient<Channel>;

/// Answers questions: an egg, a scan, a line, a live feed.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
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
    /// The results-store to ask
    #[arg(long, env = "OVOMESH_STORE", value_name = "URL", default_value = "http://127.0.0.1:7702")]
    pub store: Uri,
}

/// Serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let channel =
        args.client.connector()?.lazy(&args.store).with_context(|| format!("--store {}", args.store))?;
    let store = Store::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let live = Live::start(store.clone(), &lifecycle);
    let service = Service { store, live, lifecycle: lifecycle.clone() };
    Server::new(NAME, &args.server)
        .routes(tonic::service::Routes::new(QueryServiceServer::new(service.clone())))
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}
