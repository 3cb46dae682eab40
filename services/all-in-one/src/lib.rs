//! `ovomeshd`: every service in one process with the embedded store, for a hatchery with one machine.
//!
//! The services are the same as in a cluster and speak to each other over loopback, each through its own `run`; only
//! the gateway and query are meant to be reached from outside.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser as _;
use ovomesh_bootstrap::Lifecycle;
use ovomesh_bootstrap::{ClientTlsArgs, ServerArgs, TelemetryArgs};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Name of the program.
pub const NAME: &str = "ovomeshd";

/// All of ovomesh in one process: scanners on --listen, questions on --query-listen, decisions in --data.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "ovomeshd", version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7700")))]
pub struct Args {
    /// Where scanners connect.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Folder of the embedded store; made when it is not there, and found again after any kind of end
    #[arg(long, env = "OVOMESH_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Where questions go (gRPC)
    #[arg(long, env = "OVOMESH_QUERY_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:7701")]
    pub query_listen: SocketAddr,
    /// Configuration of the lines (YAML)
    #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// Flags for inference, such as `--inference-flags='--threads 4'`; see `ovomesh-inference --help`
    #[arg(
        long,
        env = "OVOMESH_INFERENCE_FLAGS",
        value_name = "FLAGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub inference_flags: String,
}

/// Serves scanners on `listener` until the drain is over.
pub async fn run(args: Args, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    // The stages outlive the gateway: what is in flight at a drain still needs them.
    let inner = Lifecycle { tasks: lifecycle.tasks.clone(), drain: CancellationToken::new() };
    let (store, store_url) = loopback().await?;
    let (preprocess, preprocess_url) = loopback().await?;
    let (inference, inference_url) = loopback().await?;
    let query = TcpListener::bind(args.query_listen)
        .await
        .with_context(|| format!("--query-listen {}: is another program there?", args.query_listen))?;

    let data = args.data.display().to_string();
    let mut store_args = ovomesh_results_store::Args::try_parse_from(["results-store", "--data", &data])?;
    let mut preprocess_args = ovomesh_preprocess::Args::try_parse_from(["preprocess"])?;
    let flags = std::iter::once("inference").chain(args.inference_flags.split_whitespace());
    let mut inference_args = ovomesh_inference::Args::try_parse_from(flags)?;
    // Certificates that the environment names are for the entrances: inside, all is loopback.
    store_args.server = ServerArgs::loopback();
    preprocess_args.server = ServerArgs::loopback();
    inference_args.server = ServerArgs::loopback();
    let mut query_args = ovomesh_query::Args::try_parse_from(["query", "--store", &store_url])?;
    query_args.server = args.server.clone();
    query_args.client = ClientTlsArgs::default();
    let gateway_flags =
        ["gateway", "--store", &store_url, "--preprocess", &preprocess_url, "--inference", &inference_url];
    let mut gateway_args = ovomesh_scanner_gateway::Args::try_parse_from(gateway_flags)?;
    gateway_args.server = args.server.clone();
    gateway_args.client = ClientTlsArgs::default();
    gateway_args.lines = args.lines.clone();

    let stages = async {
        tokio::try_join!(
            ovomesh_results_store::run(store_args, store, inner.clone()),
            ovomesh_preprocess::run(preprocess_args, preprocess, inner.clone()),
            ovomesh_inference::run(inference_args, inference, inner.clone()),
        )
    };
    let entrance = async {
        let served = tokio::try_join!(
            ovomesh_scanner_gateway::run(gateway_args, listener, lifecycle.clone()),
            ovomesh_query::run(query_args, query, lifecycle.clone()),
        );
        inner.drain.cancel();
        served
    };
    tokio::try_join!(stages, entrance).map(drop)
}

/// A free port of this machine, and its URL.
async fn loopback() -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}
