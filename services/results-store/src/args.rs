//! The flags of results-store.

use std::path::PathBuf;

use ovomesh_bootstrap::{PortConfig, ServerArgs, TelemetryArgs};

use crate::{Config, CqlArgs, Storage};

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

/// Reads every file; an error names the one that is wrong.
impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let storage = match args.data {
            Some(folder) => Storage::Folder(folder),
            None => Storage::Database(args.cql.try_into()?),
        };
        Ok(Self { port: PortConfig::try_from(&args.server)?, storage })
    }
}
