//! What the operator is started with.

use std::time::Duration;

use ovomesh_bootstrap::PortConfig;
use ovomesh_mesh::Connector;

/// What the operator is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it serves.
    pub port: PortConfig,
    /// How it calls gateways.
    pub connector: Connector,
    /// Namespace whose pools and lines it looks after. `None`: that of its account.
    pub namespace: Option<String>,
    /// Name of the Lease by which operators agree on who leads.
    pub lease: String,
    /// How long an operator that died still leads.
    pub lease_duration: Duration,
    /// How often pools are looked at.
    pub tick: Duration,
}

/// The namespace of its account, a lease of 15 s, a look each second.
impl Default for Config {
    fn default() -> Self {
        Self {
            port: PortConfig::default(),
            connector: Connector::default(),
            namespace: None,
            lease: "ovomesh-operator".into(),
            lease_duration: Duration::from_secs(15),
            tick: Duration::from_secs(1),
        }
    }
}
