//! The flags of the operator.

use std::time::Duration;

use ovomesh_bootstrap::{ClientTlsArgs, PortConfig, ServerArgs, TelemetryArgs};

use crate::Config;

/// Scales inference by demand and backlog: watches InferencePools, asks gateways, and sets replicas.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7730")))]
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
    /// Namespace whose pools and lines it looks after. Without: that of its account
    #[arg(long, env = "OVOMESH_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Name of the Lease by which operators agree on who leads
    #[arg(long, env = "OVOMESH_LEASE", value_name = "NAME", default_value = "ovomesh-operator")]
    pub lease: String,
    /// How long an operator that died still leads, in seconds
    #[arg(long, env = "OVOMESH_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(2..=300))]
    pub lease_seconds: u16,
    /// How often pools are looked at, in milliseconds
    #[arg(long, env = "OVOMESH_TICK_MS", value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=10_000))]
    pub tick_ms: u64,
}

impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        Ok(Self {
            port: PortConfig::try_from(&args.server)?,
            connector: args.client.connector()?,
            namespace: args.namespace,
            lease: args.lease,
            lease_duration: Duration::from_secs(args.lease_seconds.into()),
            tick: Duration::from_millis(args.tick_ms),
        })
    }
}
