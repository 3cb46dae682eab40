//! What query is started with.

use ovomesh_bootstrap::PortConfig;
use ovomesh_mesh::Connector;
use tonic::transport::Uri;

/// What query is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub port: PortConfig,
    /// How it calls the stores.
    pub connector: Connector,
    /// The results-stores. Several must share one database.
    pub stores: Vec<Uri>,
}

/// The documented port of a results-store on this machine.
impl Default for Config {
    fn default() -> Self {
        let store = Uri::from_static("http://127.0.0.1:7702");
        Self { port: PortConfig::default(), connector: Connector::default(), stores: vec![store] }
    }
}
