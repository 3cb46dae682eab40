//! The flags of `ovomeshd`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ovomesh_api::LineBook;
use ovomesh_bootstrap::{PortConfig, ServerArgs, TelemetryArgs, configuration};
use ovomesh_inference::ModelArgs;
use ovomesh_results_store::KeepArgs;

use crate::Config;

/// Runs all of ovomesh in one process: scanners connect to --listen, questions go to --query-listen, decisions are in --data.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "ovomeshd", version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7700")))]
pub struct Args {
    /// Where scanners connect.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it reports.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Folder of the embedded store; it is created if it does not exist, and kept after any kind of end
    #[arg(long, env = "OVOMESH_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// What the store keeps.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Address that answers questions (gRPC)
    #[arg(long, env = "OVOMESH_QUERY_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:7701")]
    pub query_listen: SocketAddr,
    /// Configuration of the lines (YAML)
    #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// Which model, and where it is computed.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Threads that compute the model, one batch each; 0 takes one for each core
    #[arg(
        long,
        env = "OVOMESH_INFERENCE_THREADS",
        value_name = "N",
        default_value_t = 0,
        help_heading = "Model"
    )]
    pub inference_threads: usize,
}

/// Reads every file; an error names the one that is wrong.
impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let mut config = Self::in_folder(args.data);
        config.keep = args.keep.into();
        config.port = PortConfig::try_from(&args.server)?;
        config.query_listen = args.query_listen;
        config.lines = configuration(args.lines.as_deref(), LineBook::from_yaml)?;
        config.inference = args.model.into();
        if args.inference_threads > 0 {
            config.inference.threads = args.inference_threads;
        }
        Ok(config)
    }
}
