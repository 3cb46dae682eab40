//! The flags of the gateway.

use std::path::PathBuf;

use ovomesh_api::{LineBook, MAX_VOLUME_BYTES};
use ovomesh_bootstrap::{ClientTlsArgs, PortConfig, ServerArgs, TelemetryArgs, configuration};

use crate::Config;

/// Takes scans over streams, has them judged, answers, and has every verdict stored.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7700")))]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What it tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls the stages.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// Preprocess replicas: URLs separated by commas, dns:///NAME:PORT, or kubernetes:///SERVICE:PORT
    #[arg(long, env = "OVOMESH_PREPROCESS", value_name = "URLS", default_value = "http://127.0.0.1:7710")]
    pub preprocess: String,
    /// Inference replicas: URLs separated by commas, dns:///NAME:PORT, or kubernetes:///SERVICE:PORT
    #[arg(long, env = "OVOMESH_INFERENCE", value_name = "URLS", default_value = "http://127.0.0.1:7720")]
    pub inference: String,
    /// results-store replicas: URLs separated by commas, dns:///NAME:PORT, or kubernetes:///SERVICE:PORT
    #[arg(long, env = "OVOMESH_STORE", value_name = "URLS", default_value = "http://127.0.0.1:7702")]
    pub store: String,
    /// Configuration of the lines (YAML): owner, budget, quarantine, decision policy. Without: the defaults
    #[arg(long, env = "OVOMESH_LINES", value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// Kubernetes namespace whose ScannerLines configure lines, before the file does
    #[arg(long, env = "OVOMESH_SCANNER_LINES", value_name = "NAMESPACE")]
    pub scanner_lines: Option<String>,
    /// Memory of this process, in MiB: three quarters are for sessions (96 KiB each) and the scans that they have in flight
    #[arg(long, env = "OVOMESH_MEMORY_MIB", value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(32..))]
    pub memory_mib: u64,
    /// Largest volume taken, in bytes as sent and as unpacked
    #[arg(long, env = "OVOMESH_MAX_VOLUME_BYTES", value_name = "BYTES", default_value_t = MAX_VOLUME_BYTES)]
    pub max_volume_bytes: u64,
}

/// Reads every file; an error names the one that is wrong.
impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        Ok(Self {
            port: PortConfig::try_from(&args.server)?,
            connector: args.client.connector()?,
            preprocess: args.preprocess,
            inference: args.inference,
            store: args.store,
            lines: configuration(args.lines.as_deref(), LineBook::from_yaml)?,
            scanner_lines: args.scanner_lines,
            memory_bytes: args.memory_mib << 20,
            max_volume_bytes: args.max_volume_bytes,
        })
    }
}
