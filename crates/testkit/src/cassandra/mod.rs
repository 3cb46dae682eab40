//! A real Apache Cassandra on loopback: one node or several, each a process that can be killed, stopped and started again.
//!
//! The jars come from Maven into `.cache/cassandra`, by `cargo xtask fetch`; Java 17 runs them. ScyllaDB cannot be had that
//! way: what is tested here was tested on Cassandra.

mod config;
mod handshake;
mod node;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use crate::wait_until;
use handshake::Required;
use node::Node;

/// Where CQL is spoken on every node.
const CQL_PORT: u16 = 9042;
/// Three nodes start in 25 s on two idle cores; a busy machine needs more.
const START_LIMIT: Duration = Duration::from_secs(180);
/// Data of a cluster are in a temporary folder of this name, its program's id, and a part of its addresses.
const FOLDER: &str = "ovomesh-cassandra-";
/// Clusters of one program: the last part of an address is the node, the third counts clusters.
static CLUSTERS: AtomicU8 = AtomicU8::new(0);

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Nodes, 1 to 9. With three or more, keep three replicas.
    pub nodes: usize,
    /// When a write is acknowledged.
    pub commitlog: Commitlog,
    /// Asks for a user and a password: `cassandra` and `cassandra` at first.
    pub password: bool,
    /// A PEM file with a PKCS#8 key and its certificates: every client must then speak TLS. Addresses of the nodes are
    /// known before they start: see [`Cassandra::reserve`].
    pub tls: Option<PathBuf>,
    /// Java's memory for each node, in MiB.
    pub heap_mib: usize,
    /// Compiles hot code as well as Java can: for measurements. Costs CPU at the start.
    pub fast: bool,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitlog {
    /// After an fsync that the writes of some milliseconds share: nothing acknowledged is lost.
    Group,
    /// Cassandra's default: before it is on disk. A kill of the only node loses some rows.
    Periodic,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { nodes: 1, commitlog: Commitlog::Group, password: false, tls: None, heap_mib: 512, fast: false }
    }
}

/// A running cluster; it is killed and its data are removed when dropped.
#[derive(Debug)]
pub struct Cassandra {
    cluster: Cluster,
    nodes: Vec<Node>,
    folder: PathBuf,
}

/// Addresses that nobody uses: `127.x.y.*`.
#[derive(Debug, Clone, Copy)]
pub struct Network([u8; 3]);

impl Network {
    /// The address of node `n`, from 1 on.
    pub fn node(self, n: usize) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, u8::try_from(n).unwrap_or(u8::MAX))
    }
}

impl Cassandra {
    /// Starts `nodes` nodes, and waits until all take writes. One takes about 10 s, three 25 s.
    pub fn start(nodes: usize) -> anyhow::Result<Self> {
        Self::start_with(Cluster { nodes, ..Cluster::default() }, Self::reserve()?)
    }

    /// Addresses for a cluster, for a caller that needs them first to make certificates.
    pub fn reserve() -> anyhow::Result<Network> {
        for _ in 0..u8::MAX {
            let count = CLUSTERS.fetch_add(1, Ordering::Relaxed);
            // Programs that run side by side have different numbers, and so different addresses.
            let program = u8::try_from(64 + std::process::id() % 128)?;
            let network = Network([127, program, count]);
            if std::net::TcpListener::bind((network.node(1), CQL_PORT)).is_ok() {
                return Ok(network);
            }
        }
        anyhow::bail!("port {CQL_PORT} is taken on all loopback addresses of this program")
    }

    /// The same as [`Cassandra::start`], as `cluster` says.
    pub fn start_with(cluster: Cluster, network: Network) -> anyhow::Result<Self> {
        anyhow::ensure!((1..=9).contains(&cluster.nodes), "nodes is {}; it must be 1 to 9", cluster.nodes);
        let [_, b, c] = network.0;
        let folder = std::env::temp_dir().join(format!("{FOLDER}{}-{b}-{c}", std::process::id()));
        remove_leftovers();
        let nodes = (1..=cluster.nodes).map(|n| Node::new(n, network.node(n), &folder)).collect();
        let mut this = Self { cluster, nodes, folder };
        for n in 1..=this.nodes.len() {
            this.spawn(n)?;
        }
        this.ready()?;
        Ok(this)
    }

    /// `ADDRESS:PORT` of every node, separated by commas: what `ovomesh-results-store --cql` takes.
    pub fn contact_points(&self) -> String {
        self.nodes.iter().map(|node| format!("{}:{CQL_PORT}", node.address())).collect::<Vec<_>>().join(",")
    }

    /// Copies of a row that such a cluster can keep: three, or what there is.
    pub fn replication(&self) -> usize {
        self.nodes.len().min(3)
    }

    /// Kills node `n` (from 1 on) with SIGKILL and waits until it is gone.
    pub fn kill(&mut self, n: usize) -> anyhow::Result<()> {
        self.node(n)?.kill()
    }

    /// Starts node `n` on its data, and waits until it takes writes and knows the others that run.
    pub fn restart(&mut self, n: usize) -> anyhow::Result<()> {
        self.kill(n)?;
        self.spawn(n)?;
        self.ready()
    }

    /// SIGSTOP: node `n` is there, but does nothing.
    pub fn pause(&mut self, n: usize) -> anyhow::Result<()> {
        self.node(n)?.signal(libc::SIGSTOP)
    }

    /// SIGCONT.
    pub fn resume(&mut self, n: usize) -> anyhow::Result<()> {
        self.node(n)?.signal(libc::SIGCONT)
    }

    /// Process id of node `n`, while it runs.
    pub fn pid(&self, n: usize) -> Option<u32> {
        self.nodes.get(n.checked_sub(1)?)?.pid()
    }

    /// Logs and data of the nodes: `node1/log` and so on. Removed with the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until every node that runs answers, and, when all run, until each sees all.
    pub fn ready(&mut self) -> anyhow::Result<()> {
        let all = self.nodes.iter().all(|node| node.pid().is_some());
        let required =
            Required { tls: self.cluster.tls.is_some(), replicas: if all { self.replication() } else { 1 } };
        for node in &mut self.nodes {
            if node.pid().is_none() {
                continue;
            }
            let (name, address) = (node.to_string(), (node.address(), CQL_PORT).into());
            let mut last = Ok(());
            let answers = wait_until(&format!("{name} ready"), START_LIMIT, || {
                if let Some(status) = node.ended() {
                    return Some(Err(anyhow::anyhow!("{name} ended with {status}")));
                }
                last = handshake::ask(address, required);
                last.is_ok().then_some(Ok(()))
            });
            answers
                .and_then(|alive| alive)
                .with_context(|| format!("last answer {last:?}; its log:\n{}", node.log_tail()))?;
        }
        Ok(())
    }

    fn node(&mut self, n: usize) -> anyhow::Result<&mut Node> {
        let nodes = self.nodes.len();
        n.checked_sub(1)
            .and_then(|index| self.nodes.get_mut(index))
            .with_context(|| format!("node {n} of {nodes}: nodes are counted from 1"))
    }

    fn spawn(&mut self, n: usize) -> anyhow::Result<()> {
        let addresses: Vec<_> = self.nodes.iter().map(Node::address).collect();
        let cluster = self.cluster.clone();
        self.node(n)?.start(&cluster, &addresses)
    }
}

/// Data of clusters whose program is gone: one that a whole program shares is never dropped, only killed with it.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let program =
            name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.split('-').next()?.parse::<u32>().ok());
        if program.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another program may do the same now.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        self.nodes.clear();
        // What is left of it hurts nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
