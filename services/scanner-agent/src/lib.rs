//! The scanner agent stands at the edge, beside the scanner. It keeps every scan on disk until a verdict for it is
//! recorded, and every verdict until it is stored; so whatever is killed or cut off behind it, no scan is lost, and the
//! store never says something else than the sorter was told.
//!
//! The way of a scan: [`session`] takes it, [`agent`] carries it through its life, [`link`] sends it to a gateway and its
//! verdict to the store; [`feed`] and [`sorter`] tell the line's sorter.

mod agent;
mod args;
mod clock;
mod config;
mod deadline;
mod decoder;
mod dicom;
mod feed;
mod folder;
mod images;
mod in_flight;
mod link;
mod memory;
mod pace;
mod queue;
mod service;
mod session;
mod sorter;
mod spooled;

use ovomesh_api::pb::scanner::v1::scanner_service_server::ScannerServiceServer;
use ovomesh_api::pb::sorter::v1::sorter_service_server::SorterServiceServer;
use ovomesh_bootstrap::Server;
use ovomesh_mesh::Lifecycle;
use ovomesh_spool::{Limits, Spool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::args::{Args, DicomArgs, FileArgs};
pub use crate::config::{Config, DicomConfig, FolderConfig};
pub use crate::decoder::{asked as asked_to_decode, work as decode};

use crate::agent::{Agent, Settings};
use crate::link::Gateways;
use crate::service::Service;

/// Name of the service.
pub const NAME: &str = "scanner-agent";

/// What a message may have beside its volume.
const HEADER_BYTES: u64 = 64 << 10;
/// HTTP/2 receive window of a stream and of a connection: an agent has a few scanners and little memory.
const WINDOW_BYTES: u32 = 1 << 20;
/// The part of the spool that verdicts may take.
const VERDICTS_PART: u64 = 8;

/// Serves on `listener` until the drain is over.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let verdict_bytes = config.spool_bytes / VERDICTS_PART;
    let limits = Limits { scan_bytes: config.spool_bytes - verdict_bytes, verdict_bytes };
    let folder = config.spool.clone();
    let (spool, left) = tokio::task::spawn_blocking(move || Spool::open(&folder, limits)).await??;
    tracing::info!(
        undecided = left.undecided.len(),
        unsettled = left.unsettled.len(),
        lost = left.lost.len(),
        "the spool is open"
    );
    let settings = Settings {
        lines: config.lines.clone(),
        max_volume_bytes: config.max_volume_bytes,
        memory_bytes: config.memory_bytes,
        failed: config.spool.join("failed"),
    };
    // Scans live on their own while sessions come and go; the drain ends what waits for a gateway, not what is on disk.
    let carrying = Lifecycle { tasks: tokio_util::task::TaskTracker::new(), drain: CancellationToken::new() };
    let agent = Agent::new(settings, spool, left, carrying.clone());
    let gateways = Gateways {
        uris: config.gateways.clone(),
        connector: config.connector.clone(),
        agent: config.port.instance.clone(),
    };
    let (linking, shared) = (link::run(agent.clone(), gateways), agent.clone());
    let images = images::run(&config, agent.clone(), lifecycle.drain.clone()).await?;
    let service = Service { agent, lifecycle: lifecycle.clone() };
    let limit = usize::try_from(config.max_volume_bytes + HEADER_BYTES)?;
    let serving = Server::new(NAME, &config.port)
        .service(ScannerServiceServer::new(service.clone()).max_decoding_message_size(limit))
        .service(SorterServiceServer::new(service.clone()))
        .windows(WINDOW_BYTES, WINDOW_BYTES)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle);
    tokio::select! {
        served = serving => served,
        never = shared.failed.measure() => match never {},
        () = linking => anyhow::bail!("the link ended by itself"),
        // A new agent finds all that is on disk; this one could keep nothing.
        () = shared.spool_failed() => anyhow::bail!("a thread of the spool has panicked"),
        Err(error) = images => Err(error.context("taking images")),
    }
}
