//! The flags that all services share.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::port;

/// Where and how a service listens.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Address to listen on; port 0 takes a free one, which is printed
    #[arg(long, env = "OVOMESH_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Certificate chain of this server (PEM). Without: plain text
    #[arg(long, env = "OVOMESH_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of this server (PEM)
    #[arg(long, env = "OVOMESH_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Authority that issued callers' certificates (PEM). Without: callers need no certificate
    #[arg(long, env = "OVOMESH_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Time to finish what is in flight after SIGTERM, in seconds
    #[arg(long, env = "OVOMESH_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
    /// Name of this process among its replicas. Without: the host name and the process id
    #[arg(long, env = "OVOMESH_INSTANCE", value_name = "NAME")]
    pub instance: Option<String>,
    /// Threads for input and output. One is fastest for large messages on few cores
    #[arg(long, env = "OVOMESH_IO_THREADS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub io_threads: u16,
}

/// What a service reports about itself.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// What is logged: a level, or targets such as `info,ovomesh_mesh=debug`
    #[arg(long, env = "OVOMESH_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Format of the log
    #[arg(long, env = "OVOMESH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Collector for traces (OTLP over gRPC), such as http://127.0.0.1:4317. Without: no traces
    #[arg(long, env = "OVOMESH_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of the scans that are traced, 0 to 1
    #[arg(long, env = "OVOMESH_TRACE_RATIO", value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub trace_ratio: f64,
}

/// How log lines look.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How a program calls services.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Calls to services")]
pub struct ClientTlsArgs {
    /// Authority that issued services' certificates (PEM). Without: plain text
    #[arg(long, env = "OVOMESH_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Own certificate chain for services that ask for one (PEM)
    #[arg(long, env = "OVOMESH_CLIENT_CERT", value_name = "FILE", requires_all = ["client_key", "ca"])]
    pub client_cert: Option<PathBuf>,
    /// Own private key (PEM)
    #[arg(long, env = "OVOMESH_CLIENT_KEY", value_name = "FILE", requires_all = ["client_cert", "ca"])]
    pub client_key: Option<PathBuf>,
    /// Name that services' certificates must carry, when it is not the host called
    #[arg(long, env = "OVOMESH_SERVER_NAME", value_name = "NAME", requires = "ca")]
    pub server_name: Option<String>,
}

impl ServerArgs {
    /// The name of this process among its replicas.
    pub(crate) fn instance(&self) -> String {
        self.instance.clone().unwrap_or_else(port::host_and_process)
    }
}

impl TelemetryArgs {
    /// Warnings to the console and nothing else: for tests.
    pub fn quiet() -> Self {
        Self { log: "warn".into(), log_format: LogFormat::Text, otlp_endpoint: None, trace_ratio: 0.0 }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is needed, such as 0.01 for one scan of a hundred".into())
}
