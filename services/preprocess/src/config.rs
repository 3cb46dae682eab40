//! What preprocess is started with.

use ovomesh_api::MAX_VOLUME_BYTES;
use ovomesh_bootstrap::PortConfig;

/// What preprocess is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it serves.
    pub port: PortConfig,
    /// Threads that prepare, at least 1.
    pub threads: usize,
    /// Largest volume taken, in bytes as sent.
    pub max_volume_bytes: u64,
    /// Memory for volumes of all gateways together, in bytes.
    pub memory_bytes: u64,
}

/// A thread for each core, and 256 MiB.
impl Default for Config {
    fn default() -> Self {
        Self {
            port: PortConfig::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_volume_bytes: MAX_VOLUME_BYTES,
            memory_bytes: 256 << 20,
        }
    }
}
