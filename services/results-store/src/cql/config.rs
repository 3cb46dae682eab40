//! How the database is reached, and how rows are kept in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use scylla::statement::Consistency;

/// How the database is reached, and how rows are kept in it. Files stay names: they are read at every connection that is
/// begun anew, so that passwords and certificates may change.
#[derive(Clone, Debug)]
pub struct CqlConfig {
    /// Nodes to begin with, `HOST:PORT`; the others are found.
    pub nodes: Vec<String>,
    /// Keyspace of the tables; made when it is not there.
    pub keyspace: String,
    /// Datacenter whose nodes are asked. `None`: all nodes are the same.
    pub datacenter: Option<String>,
    /// Replicas that must have a row before it is acknowledged, and that are asked for it.
    pub consistency: Level,
    /// Copies of each row in a keyspace that is made.
    pub replication: u8,
    /// Days that rows are kept in tables that are made.
    pub keep_days: u16,
    /// User to log in as; with a password file.
    pub user: Option<String>,
    /// File with the user's password.
    pub password_file: Option<PathBuf>,
    /// Authority that the nodes' certificates must come from (PEM). `None`: plain text.
    pub ca: Option<PathBuf>,
    /// Own certificate chain, for nodes that ask for one (PEM).
    pub cert: Option<PathBuf>,
    /// Own private key (PEM).
    pub key: Option<PathBuf>,
    /// Statements on their way to the database at once.
    pub in_flight: u16,
}

/// How many replicas must agree.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One replica, in any datacenter: a row may be lost with that node
    One,
    /// One replica in the local datacenter
    LocalOne,
    /// A majority of the replicas
    Quorum,
    /// A majority of the replicas in the local datacenter
    LocalQuorum,
    /// All replicas: none may be unavailable
    All,
}

impl From<Level> for Consistency {
    fn from(level: Level) -> Self {
        match level {
            Level::One => Self::One,
            Level::LocalOne => Self::LocalOne,
            Level::Quorum => Self::Quorum,
            Level::LocalQuorum => Self::LocalQuorum,
            Level::All => Self::All,
        }
    }
}

impl CqlConfig {
    /// How errors name the database.
    pub fn address(&self) -> String {
        format!("keyspace {} at {}", self.keyspace, self.nodes.join(", "))
    }

    /// Reads all files once.
    ///
    /// # Errors
    /// Names the file that is wrong.
    pub fn check(&self) -> anyhow::Result<()> {
        self.login()?;
        self.tls().map(drop)
    }

    /// How connections are secured; `None`: plain text. Read now.
    pub fn tls(&self) -> anyhow::Result<Option<Arc<rustls::ClientConfig>>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let own = self.cert.as_deref().zip(self.key.as_deref());
        ovomesh_bootstrap::client_config(ca, own).map(|config| Some(Arc::new(config)))
    }

    /// User and password, read now.
    pub fn login(&self) -> anyhow::Result<Option<(String, String)>> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else { return Ok(None) };
        Ok(Some((user.clone(), password(file)?)))
    }
}

/// The first line of a file, without its end.
fn password(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!line.is_empty(), "{} holds no password in its first line", file.display());
    Ok(line.to_owned())
}
