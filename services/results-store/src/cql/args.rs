//! The flags of the database.

use std::path::PathBuf;

use super::config::{CqlConfig, Level};

/// Where the database is, and how rows are kept in it. All but `--cql` matter only with it.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Cassandra or ScyllaDB")]
pub struct CqlArgs {
    /// Contact points of the Cassandra or ScyllaDB cluster that keeps the rows: HOST:PORT, separated by commas. The driver
    /// finds the other nodes. Several results-stores may share a cluster
    #[arg(long = "cql", id = "cql", env = "OVOMESH_CQL", value_name = "NODES", value_delimiter = ',')]
    pub nodes: Vec<String>,
    /// Keyspace of the tables; it is created if it does not exist
    #[arg(long = "cql-keyspace", env = "OVOMESH_CQL_KEYSPACE", value_name = "NAME", default_value = "ovomesh", value_parser = keyspace)]
    pub keyspace: String,
    /// Datacenter whose nodes are used; others receive no statements. Without: all nodes are used alike
    #[arg(long = "cql-datacenter", env = "OVOMESH_CQL_DATACENTER", value_name = "NAME")]
    pub datacenter: Option<String>,
    /// Replicas that must have written a row before it is acknowledged, and that must answer a read
    #[arg(long = "cql-consistency", env = "OVOMESH_CQL_CONSISTENCY", value_enum, default_value_t = Level::LocalQuorum)]
    pub consistency: Level,
    /// Copies of each row, when the keyspace is created. An existing keyspace keeps its own number
    #[arg(long = "cql-replication", env = "OVOMESH_CQL_REPLICATION", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub replication: u8,
    /// Days that rows are kept, when the tables are created. Existing tables keep their own number
    #[arg(long = "cql-keep-days", env = "OVOMESH_CQL_KEEP_DAYS", value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u16).range(1..=7_300))]
    pub keep_days: u16,
    /// User to log in as
    #[arg(long = "cql-user", env = "OVOMESH_CQL_USER", value_name = "NAME", requires = "cql_password_file")]
    pub user: Option<String>,
    /// File with the user's password; it is read again for every new connection
    #[arg(
        long = "cql-password-file",
        id = "cql_password_file",
        env = "OVOMESH_CQL_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
    /// Authority that issued the nodes' certificates (PEM); each must name its node's address. Without: plain text
    #[arg(long = "cql-ca", id = "cql_ca", env = "OVOMESH_CQL_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Own certificate chain, for nodes that ask for one (PEM)
    #[arg(long = "cql-cert", id = "cql_cert", env = "OVOMESH_CQL_CERT", value_name = "FILE", requires_all = ["cql_key", "cql_ca"])]
    pub cert: Option<PathBuf>,
    /// Own private key (PEM)
    #[arg(long = "cql-key", id = "cql_key", env = "OVOMESH_CQL_KEY", value_name = "FILE", requires_all = ["cql_cert", "cql_ca"])]
    pub key: Option<PathBuf>,
    /// Statements that may be in flight to the database; others wait here
    #[arg(long = "cql-in-flight", env = "OVOMESH_CQL_IN_FLIGHT", value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub in_flight: u16,
}

impl TryFrom<CqlArgs> for CqlConfig {
    type Error = anyhow::Error;

    fn try_from(args: CqlArgs) -> anyhow::Result<Self> {
        let config = Self {
            nodes: args.nodes,
            keyspace: args.keyspace,
            datacenter: args.datacenter,
            consistency: args.consistency,
            replication: args.replication,
            keep_days: args.keep_days,
            user: args.user,
            password_file: args.password_file,
            ca: args.ca,
            cert: args.cert,
            key: args.key,
            in_flight: args.in_flight,
        };
        config.check()?;
        Ok(config)
    }
}

/// A name that needs no quotes, and cannot say anything else in a statement.
fn keyspace(text: &str) -> Result<String, String> {
    let letters = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let fits = (1..=48).contains(&text.len());
    if letters && fits {
        Ok(text.to_owned())
    } else {
        Err("it must be 1 to 48 of a-z 0-9 _, a letter first".into())
    }
}
