//! The flags of query.

use ovomesh_bootstrap::{ClientTlsArgs, PortConfig, ServerArgs, TelemetryArgs};
use tonic::transport::Uri;

use crate::Config;

/// Answers questions about eggs, scans and lines, and sends the live feed.
#[derive(clap::Parser, Clone, Debug)]
#[command(version, about)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:7701")))]
pub struct Args {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// How it calls the store.
    #[command(flatten)]
    pub client: ClientTlsArgs,
    /// URLs of the results-stores, separated by commas. Several must share one database: query asks any of them, and reads
    /// the feeds of all
    #[arg(
        long,
        env = "OVOMESH_STORE",
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7702"
    )]
    pub store: Vec<Uri>,
}

impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> anyhow::Result<Self> {
        let port = PortConfig::try_from(&args.server)?;
        Ok(Self { port, connector: args.client.connector()?, stores: args.store })
    }
}
