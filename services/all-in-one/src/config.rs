//! What `ovomeshd` is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use ovomesh_api::LineBook;
use ovomesh_bootstrap::PortConfig;
use ovomesh_results_store::Keep;

/// What `ovomeshd` is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How scanners and questions are served.
    pub port: PortConfig,
    /// Folder of the embedded store; made when it is not there.
    pub data: PathBuf,
    /// What the store keeps.
    pub keep: Keep,
    /// Where questions go.
    pub query_listen: SocketAddr,
    /// How lines are configured.
    pub lines: LineBook,
    /// The model and how it is computed; its port is set by `run`.
    pub inference: ovomesh_inference::Config,
}

impl Config {
    /// With its decisions in this folder; questions on a free port.
    pub fn in_folder(data: impl Into<PathBuf>) -> Self {
        Self {
            port: PortConfig::default(),
            data: data.into(),
            keep: Keep::default(),
            query_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            lines: LineBook::default(),
            inference: ovomesh_inference::Config::default(),
        }
    }
}
