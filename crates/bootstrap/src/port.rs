//! How a service serves on its port, as values: certificates are read, defaults are in place.

use std::sync::Arc;
use std::time::Duration;

use crate::ServerArgs;
use crate::status::Together;

/// How a service serves on the port that it is given.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// How this server proves its identity, and whether callers must do the same. `None`: plain text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Time to finish what is in flight once the drain has begun.
    pub drain: Duration,
    /// Name of this process among its replicas.
    pub instance: String,
    /// The services of the process whose configs are clones of this one.
    pub together: Together,
}

/// Plain text, 10 s to drain, named by the host and the process id.
impl Default for PortConfig {
    fn default() -> Self {
        Self {
            tls: None,
            drain: Duration::from_secs(10),
            instance: host_and_process(),
            together: Together::default(),
        }
    }
}

/// Reads the certificates. An error names the file that is wrong.
impl TryFrom<&ServerArgs> for PortConfig {
    type Error = anyhow::Error;

    fn try_from(args: &ServerArgs) -> anyhow::Result<Self> {
        Ok(Self {
            tls: args.tls()?,
            drain: Duration::from_secs(args.drain_seconds),
            instance: args.instance(),
            together: Together::default(),
        })
    }
}

pub(crate) fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "localhost".into());
    format!("{}-{}", host.trim(), std::process::id())
}
