//! results-store keeps every decision, durably, and alone talks to the database.
//!
//! [`service`] is the gRPC surface; [`committer`] makes batches of the rows that arrive; [`once`] decides what happens to a
//! row when one of its scan is stored already; [`store`] says what a store must do, [`embedded`] is the one of one machine,
//! [`cql`] the one on Cassandra or ScyllaDB; [`feed`] sends stored rows to its readers.

#![allow(missing_docs, reason = "a service is used through its contract and its flags")]

mod args;
mod committer;
mod config;
mod cql;
mod embedded;
mod error;
mod feed;
mod keys;
mod once;
mod record;
mod service;
mod store;
mod subscriber;

use std::sync::Arc;

use ovomesh_api::pb::store::v1::store_service_server::StoreServiceServer;
use ovomesh_bootstrap::{PortConfig, Server, trace};
use ovomesh_mesh::{Lifecycle, ServerConfig, StageServer};
use tokio::net::TcpListener;

pub use args::{Args, KeepArgs};
pub use config::{Config, Storage};
pub use cql::{Cql, CqlArgs, CqlConfig, Level};
pub use embedded::{Embedded, Keep};
pub use error::StoreError;
pub use once::Outcome;
pub use record::Record;
pub use store::{EggPosition, EggRange, LineRange, Page, Store, StoredLines};

use committer::Committer;
use feed::Feed;
use service::Service;

/// Name of the service.
pub const NAME: &str = "results-store";

/// A row with its preview has about 2 KiB. Far more is let in, so that one that is too large is refused alone and
/// not by breaking the stream that others share.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Rows that one gateway may have on their way: two seconds of the headline rate.
const CREDIT: u32 = 2_048;
/// The same in bytes.
const CREDIT_BYTES: u64 = 4 << 20;
/// Rows on their way of all gateways together.
const ALL_BYTES: u64 = 128 << 20;

/// Serves on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    match config.storage {
        Storage::Folder { folder, keep } => {
            let store = tokio::task::spawn_blocking(move || Embedded::keeping(&folder, &keep)).await??;
            serve(Arc::new(store), &config.port, listener, &lifecycle).await
        }
        Storage::Database(database) => {
            // A database that is away is waited for.
            let store = Cql::start(database, config.port.instance.clone(), &lifecycle);
            serve(Arc::new(store), &config.port, listener, &lifecycle).await
        }
    }
}

/// Serves `store` on `listener` until the drain is over.
pub async fn serve<S: Store>(
    store: Arc<S>,
    port: &PortConfig,
    listener: TcpListener,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let feed = Arc::new(Feed::new(rand::random()));
    let committer = Committer::start(store.clone(), feed.clone(), lifecycle);
    let config = ServerConfig {
        messages: CREDIT,
        bytes: CREDIT_BYTES,
        total_bytes: ALL_BYTES,
        max_message_bytes: MAX_MESSAGE_BYTES as u64,
        drain_grace: port.drain,
        span: trace::child,
        ..ServerConfig::default()
    };
    let append = move |work| service::append(committer.clone(), work);
    let stage = StageServer::new(config, append, lifecycle);
    let service = Service::new(store, stage, feed, lifecycle.clone());
    let server = StoreServiceServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Server::new(NAME, port)
        .service(server)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, lifecycle)
        .await
}
