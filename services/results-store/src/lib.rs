//! results-store keeps every decision, durably, and alone talks to the database.
//!
//! [`service`] is the gRPC surface; [`committer`] makes batches of what comes, [`late`] keeps what is there when an old scan comes again; [`store`] says what a store must do,
//! [`embedded`] is the one of one machine, [`cql`] the one on Cassandra or ScyllaDB; [`feed`] tells who listens.

mod committer;
mod cql;
mod embedded;
mod error;
mod feed;
mod keys;
mod late;
mod record;
mod service;
mod store;
mod subscriber;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ovomesh_api::pb::store::v1::store_service_server::StoreServiceServer;
use ovomesh_bootstrap::{Server, ServerArgs, TelemetryArgs, trace};
use ovomesh_mesh::{Lifecycle, ServerConfig, StageServer};
use tokio::net::TcpListener;

pub use cql::{Cql, CqlArgs, Level};
pub use embedded::Embedded;
pub use error::StoreError;
pub use record::Record;
pub use store::{LinePage, LineRange, Store};

use committer::Committer;
use feed::Feed;
use service::Service;

/// Name of the service.
pub const NAME: &str = "results-store";

/// A row with its preview has about 2 KiB. Far more is let in, so that one that is too large is refused by itself and
/// not by breaking the stream that others share.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Rows that one gateway may have on their way: two seconds of the headline rate.
const CREDIT: u32 = 2_048;
/// The same in bytes.
const CREDIT_BYTES: u64 = 4 << 20;
/// Rows on their way of all gateways together.
const ALL_BYTES: u64 = 128 << 20;

/// Stores every decision durably and gives them back: in a folder of this machine (--data), or in Cassandra or ScyllaDB
/// (--cql), which several of these may share.
#[derive(clap::Parser, Clone, Debug)]
#[command(version)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["data", "cql"]))]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7702")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Folder of the embedded store; made when it is not there
    #[arg(long, env = "OVOMESH_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The database.
    #[command(flatten)]
    pub cql: CqlArgs,
}

/// Serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    match args.data {
        Some(data) => {
            let store = tokio::task::spawn_blocking(move || Embedded::open(&data)).await??;
            serve(store, &args.server, listener, &lifecycle).await
        }
        None => {
            // Files that are wrong are told at once, a database that is away is waited for.
            args.cql.check()?;
            let store = Cql::start(args.cql, args.server.instance(), &lifecycle);
            serve(store, &args.server, listener, &lifecycle).await
        }
    }
}

/// Serves `store` on `listener` until the drain is over.
pub async fn serve<S: Store>(
    store: S,
    args: &ServerArgs,
    listener: TcpListener,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let (store, feed) = (Arc::new(store), Arc::new(Feed::new(rand::random())));
    let committer = Committer::start(store.clone(), feed.clone(), lifecycle);
    let config = ServerConfig {
        messages: CREDIT,
        bytes: CREDIT_BYTES,
        total_bytes: ALL_BYTES,
        max_message_bytes: MAX_MESSAGE_BYTES as u64,
        drain_grace: Duration::from_secs(args.drain_seconds),
        span: trace::child,
        ..ServerConfig::default()
    };
    let own = store.clone();
    let append = move |work| service::append(own.clone(), committer.clone(), work);
    let stage = StageServer::new(config, append, lifecycle);
    let service = Service::new(store, stage, feed, lifecycle.clone());
    let server = StoreServiceServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Server::new(NAME, args)
        .routes(tonic::service::Routes::new(server))
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, lifecycle)
        .await
}
