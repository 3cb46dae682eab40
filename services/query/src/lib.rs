//! query answers questions about stored decisions, and lets people watch.
//!
//! [`service`] is the gRPC surface; [`live`] reads the feed of every store once for all into a [`ring`]; [`watch`] is one
//! watcher, [`position`] where it is; [`gaps`] finds the rows that a store had written and not sent when it died.

#![allow(missing_docs, reason = "a service is used through its contract and its flags")]

mod args;
mod config;
mod filter;
mod gaps;
mod live;
mod position;
mod ring;
mod service;
mod store;
mod stored;
mod stores;
mod token;
mod watch;

use ovomesh_api::pb::query::v1::query_service_server::QueryServiceServer;
use ovomesh_bootstrap::Server;
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;

pub use args::Args;
pub use config::Config;

use service::Service;
use stores::Stores;

/// Name of the service.
pub const NAME: &str = "query";

/// Serves on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let stores = Stores::new(&config.connector, &config.stores)?;
    let service = Service::new(stores, &lifecycle);
    Server::new(NAME, &config.port)
        .service(QueryServiceServer::new(service.clone()))
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle)
        .await
}
