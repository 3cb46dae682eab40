//! The flags of results-store.

use std::path::PathBuf;
use std::time::Duration;

use ovomesh_bootstrap::{PortConfig, ServerArgs, TelemetryArgs};

use crate::{Config, CqlArgs, Keep, Storage};

/// Stores every decision durably and answers questions about them. Rows are in a folder of this machine (--data), or in
/// Cassandra or ScyllaDB (--cql), which several results-stores may share.
#[derive(clap::Parser, Clone, Debug)]
#[command(version)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["data", "cql"]))]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7702")))]
pub struct Args {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Folder of the embedded store; it is created if it does not exist
    #[arg(long, env = "OVOMESH_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What the embedded store keeps.
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub cql: CqlArgs,
}

/// What the embedded store keeps; a database has `--cql-keep-days`.
#[derive(clap::Args, Clone, Debug)]
pub struct KeepArgs {
    /// Days that rows are kept after they were stored, and up to a tenth longer
    #[arg(long = "keep-days", env = "OVOMESH_KEEP_DAYS", value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u16).range(1..=7_300))]
    pub days: u16,
    /// Disk that the folder may use; the oldest rows are removed, a tenth at a time, to stay below it. Without: no limit
    #[arg(long = "keep-gib", env = "OVOMESH_KEEP_GIB", value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub gib: Option<u32>,
}

impl From<KeepArgs> for Keep {
    fn from(args: KeepArgs) -> Self {
        Self {
            age: Duration::from_hours(24 * u64::from(args.days)),
            bytes: args.gib.map(|gib| u64::from(gib) << 30),
            ..Self::default()
        }
    }
}

/// Reads every file; an error names the one that is wrong.
impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let storage = match args.data {
            Some(folder) => Storage::Folder { folder, keep: args.keep.into() },
            None => Storage::Database(args.cql.try_into()?),
        };
        Ok(Self { port: PortConfig::try_from(&args.server)?, storage })
    }
}
