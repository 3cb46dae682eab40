//! What the gateway is started with.

use ovomesh_api::{LineBook, MAX_VOLUME_BYTES};
use ovomesh_bootstrap::PortConfig;
use ovomesh_mesh::Connector;

/// What the gateway is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it serves.
    pub port: PortConfig,
    /// How it calls the stages.
    pub connector: Connector,
    /// Where preprocess is, as [`ovomesh_bootstrap::discover::replicas`] reads it.
    pub preprocess: String,
    /// Where inference is.
    pub inference: String,
    /// Where results-store is.
    pub store: String,
    /// How lines are configured.
    pub lines: LineBook,
    /// Kubernetes namespace whose ScannerLines come before `lines`.
    pub scanner_lines: Option<String>,
    /// Memory of this process, in bytes: three quarters are for sessions and the scans that they have in flight.
    pub memory_bytes: u64,
    /// Largest volume taken, in bytes as sent and as unpacked.
    pub max_volume_bytes: u64,
}

/// The documented ports of stages on this machine, and 512 MiB.
impl Default for Config {
    fn default() -> Self {
        Self {
            port: PortConfig::default(),
            connector: Connector::default(),
            preprocess: "http://127.0.0.1:7710".into(),
            inference: "http://127.0.0.1:7720".into(),
            store: "http://127.0.0.1:7702".into(),
            lines: LineBook::default(),
            scanner_lines: None,
            memory_bytes: 512 << 20,
            max_volume_bytes: MAX_VOLUME_BYTES,
        }
    }
}
