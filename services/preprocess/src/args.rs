//! The flags of preprocess.

use ovomesh_api::MAX_VOLUME_BYTES;
use ovomesh_bootstrap::{PortConfig, ServerArgs, TelemetryArgs};

use crate::Config;

/// Prepares raw volumes for the model: centres, standardises and crops them, and tells their quality.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7710")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// Threads that prepare; 0 takes one for each core
    #[arg(long, env = "OVOMESH_THREADS", value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Largest volume taken, in bytes as sent
    #[arg(long, env = "OVOMESH_MAX_VOLUME_BYTES", value_name = "BYTES", default_value_t = MAX_VOLUME_BYTES)]
    pub max_volume_bytes: u64,
    /// Memory for volumes of all gateways together, in MiB
    #[arg(long, env = "OVOMESH_MEMORY_MIB", value_name = "MIB", default_value_t = 256)]
    pub memory_mib: u64,
}

impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let defaults = Self { port: PortConfig::try_from(&args.server)?, ..Self::default() };
        Ok(Self {
            threads: if args.threads == 0 { defaults.threads } else { args.threads },
            max_volume_bytes: args.max_volume_bytes,
            memory_bytes: args.memory_mib << 20,
            ..defaults
        })
    }
}
