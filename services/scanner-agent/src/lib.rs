//! The scanner agent stands at the edge, beside the scanner. It keeps every scan on disk until a verdict for it is
//! recorded, and every verdict until it is stored; so whatever is killed or cut off behind it, no scan is lost, and the
//! store never says something else than the sorter was told.
//!
//! The way of a scan: [`session`] takes it, [`desk`] carries it through its life, [`link`] sends it to a gateway and its
//! verdict to the store; [`feed`] and [`sorter`] tell the line's sorter.

mod case;
mod clock;
mod deadline;
mod desk;
mod dicom;
mod feed;
mod folder;
mod ingress;
mod link;
mod queue;
mod service;
mod session;
mod sorter;
mod spooled;

use std::path::PathBuf;

use ovomesh_api::pb::scanner::v1::scanner_service_server::ScannerServiceServer;
use ovomesh_api::pb::sorter::v1::sorter_service_server::SorterServiceServer;
use ovomesh_api::{LineBook, MAX_VOLUME_BYTES};
use ovomesh_bootstrap::{ClientTlsArgs, Server, ServerArgs, TelemetryArgs, configuration};
use ovomesh_mesh::Lifecycle;
use ovomesh_spool::{Limits, Spool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Uri;

use crate::desk::{Desk, Settings};
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

/// Keeps every scan until its verdict is stored, and never blocks the conveyor.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7690")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls gateways.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// Gateways; one of them is used, another one when that leaves
    #[arg(
        long,
        env = "OVOMESH_GATEWAYS",
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7700"
    )]
    pub gateways: Vec<Uri>,
    /// Folder of the spool, on a disk that keeps what was fsynced
    #[arg(long, env = "OVOMESH_SPOOL", value_name = "DIR")]
    pub spool: PathBuf,
    /// Most that the spool may take, in MiB
    #[arg(long, env = "OVOMESH_SPOOL_MIB", value_name = "MIB", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(64..))]
    pub spool_mib: u64,
    /// Configuration of the lines (YAML): their budgets. Without: the defaults
    #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// Largest volume taken, in bytes as sent and as unpacked
    #[arg(long, env = "OVOMESH_MAX_VOLUME_BYTES", value_name = "BYTES", default_value_t = MAX_VOLUME_BYTES)]
    pub max_volume_bytes: u64,
    /// Images by DICOM.
    #[command(flatten)]
    pub dicom: dicom::DicomArgs,
    /// Images as files.
    #[command(flatten)]
    pub files: folder::FileArgs,
}

/// Serves on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let lines = configuration(args.lines.as_deref(), LineBook::from_yaml)?;
    let all = args.spool_mib << 20;
    let verdict_bytes = all / VERDICTS_PART;
    let limits = Limits { scan_bytes: all - verdict_bytes, verdict_bytes };
    let folder = args.spool.clone();
    let (spool, left) = tokio::task::spawn_blocking(move || Spool::open(&folder, limits)).await??;
    tracing::info!(
        undecided = left.undecided.len(),
        unsettled = left.unsettled.len(),
        lost = left.lost.len(),
        "the spool is open"
    );
    let settings =
        Settings { lines, max_volume_bytes: args.max_volume_bytes, failed: args.spool.join("failed") };
    // Scans live on their own while sessions come and go; the drain ends what waits for a gateway, not what is on disk.
    let carrying = Lifecycle { tasks: tokio_util::task::TaskTracker::new(), drain: CancellationToken::new() };
    let desk = Desk::new(settings, spool, left, carrying.clone());
    let gateways = Gateways {
        uris: args.gateways.clone(),
        connector: args.client.connector()?,
        agent: args.server.instance(),
    };
    let linking = link::run(desk.clone(), gateways);
    let images = ingress::run(&args, desk.clone(), lifecycle.drain.clone()).await?;
    let service = Service { desk, lifecycle: lifecycle.clone() };
    let limit = usize::try_from(args.max_volume_bytes + HEADER_BYTES)?;
    let serving = Server::new(NAME, &args.server)
        .routes(
            tonic::service::Routes::new(
                ScannerServiceServer::new(service.clone()).max_decoding_message_size(limit),
            )
            .add_service(SorterServiceServer::new(service.clone())),
        )
        .windows(WINDOW_BYTES, WINDOW_BYTES)
        .descriptors(&[ovomesh_api::pb::DESCRIPTORS, ovomesh_mesh::proto::DESCRIPTORS])
        .status(service)
        .serve(listener, &lifecycle);
    tokio::select! {
        served = serving => served,
        () = linking => anyhow::bail!("the link ended by itself"),
        Err(error) = images => Err(error.context("taking images")),
    }
}
