//! A whole mesh on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::{Cassandra, Cluster, Process, Programs};

/// How many of each, and where.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Agents, in front of the gateways.
    pub agents: usize,
    /// Gateways.
    pub gateways: usize,
    /// Processes of results-store. More than one need Cassandra: the embedded store belongs to one process.
    pub stores: usize,
    /// The database of results-store, which this fleet starts; `None`: the embedded store.
    pub cassandra: Option<Cluster>,
    /// Processes of inference.
    pub inference: usize,
    /// Processes of preprocess.
    pub preprocess: usize,
    /// Threads of each inference process; 0: its own default.
    pub inference_threads: usize,
    /// Threads of each preprocess process; 0: its own default.
    pub preprocess_threads: usize,
    /// Memory of the gateway in MiB; 0: its own default.
    pub gateway_memory_mib: u64,
    /// Configuration of the lines.
    pub lines: Option<PathBuf>,
    /// Logs, and the data of the store. Kept when the fleet ends.
    pub folder: PathBuf,
    /// The documented ports (7700 and following) instead of free ones.
    pub fixed_ports: bool,
}

impl Default for Shape {
    fn default() -> Self {
        let unique = format!("ovomesh-{}-{}", std::process::id(), unique());
        Self {
            agents: 0,
            gateways: 1,
            stores: 1,
            cassandra: None,
            inference: 2,
            preprocess: 1,
            inference_threads: 1,
            preprocess_threads: 1,
            gateway_memory_mib: 0,
            lines: None,
            folder: std::env::temp_dir().join(unique),
            fixed_ports: false,
        }
    }
}

impl Shape {
    /// The same mesh with logs and data of its own.
    pub fn in_a_new_folder(self) -> Self {
        Self { folder: Self::default().folder, ..self }
    }

    fn lines_flag(&self) -> Vec<String> {
        self.lines.iter().flat_map(|lines| ["--lines".into(), lines.display().to_string()]).collect()
    }
}

/// A process that was killed leaves its folder, and another one may get its number.
fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let begun = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    format!("{begun:x}-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// The services as separate processes: preprocess-N, inference-N, scanner-agent-N, query, and scanner-gateway and
/// results-store: without a number when there is one, else with one from 1 on.
#[derive(Debug)]
pub struct Fleet {
    programs: Programs,
    shape: Shape,
    /// Before the database, so that they end first.
    processes: BTreeMap<String, Process>,
    flags: BTreeMap<String, Vec<String>>,
    variables: BTreeMap<String, Vec<(String, String)>>,
    cassandra: Option<Cassandra>,
}

impl Fleet {
    /// Starts all and waits until all are ready.
    pub fn start(programs: &Programs, shape: Shape) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&shape.folder)
            .with_context(|| format!("making {}", shape.folder.display()))?;
        let embedded = shape.cassandra.is_none();
        anyhow::ensure!(
            !embedded || shape.stores <= 1,
            "{} results-stores need a database: set `cassandra`",
            shape.stores
        );
        let cassandra = match &shape.cassandra {
            Some(cluster) => Some(Cassandra::start_with(cluster.clone(), Cassandra::reserve()?)?),
            None => None,
        };
        let (processes, flags, variables) = Default::default();
        let mut fleet = Self { programs: programs.clone(), shape, processes, flags, variables, cassandra };
        fleet.start_all()?;
        Ok(fleet)
    }

    fn start_all(&mut self) -> anyhow::Result<()> {
        let shape = self.shape.clone();
        // Inference first: warming its model takes longest, and nobody needs to wait for it until the end.
        for n in 1..=shape.inference {
            let flags = [self.programs.model_flags(), threads(shape.inference_threads)].concat();
            self.launch(&format!("inference-{n}"), 7719 + n, flags)?;
        }
        let data = self.store_flags();
        for (n, name) in names("results-store", shape.stores) {
            self.launch(&name, if n == 1 { 7702 } else { 7740 + n }, data.clone())?;
        }
        for n in 1..=shape.preprocess {
            self.launch(&format!("preprocess-{n}"), 7709 + n, threads(shape.preprocess_threads))?;
        }
        let stores = self.urls("results-store");
        self.launch("query", 7701, vec!["--store".into(), stores.clone()])?;
        let mut flags = vec!["--store".into(), stores];
        for stage in ["preprocess", "inference"] {
            flags.extend([format!("--{stage}"), self.urls(stage)]);
        }
        if shape.gateway_memory_mib > 0 {
            flags.extend(["--memory-mib".into(), shape.gateway_memory_mib.to_string()]);
        }
        flags.extend(shape.lines_flag());
        for (n, name) in names("scanner-gateway", shape.gateways) {
            self.launch(&name, if n == 1 { 7700 } else { 7730 + n }, flags.clone())?;
        }
        for n in 1..=shape.agents {
            self.launch_agent(&format!("scanner-agent-{n}"), 7689 + n)?;
        }
        self.processes.values_mut().try_for_each(Process::ready)
    }

    /// Where rows go.
    fn store_flags(&self) -> Vec<String> {
        let Some(cassandra) = &self.cassandra else {
            let data = self.shape.folder.join("store").display().to_string();
            return vec!["--data".into(), data];
        };
        let copies = cassandra.replication().to_string();
        vec!["--cql".into(), cassandra.contact_points(), "--cql-replication".into(), copies]
    }

    /// Adds an agent with a spool in the fleet's folder, in front of its gateways.
    pub fn add_agent(&mut self, name: &str) -> anyhow::Result<()> {
        self.launch_agent(name, 7690)?;
        self.get_mut(name)?.ready()
    }

    fn launch_agent(&mut self, name: &str, port: usize) -> anyhow::Result<()> {
        let spool = self.shape.folder.join(name).display().to_string();
        let mut flags = vec!["--gateways".into(), self.urls("scanner-gateway"), "--spool".into(), spool];
        flags.extend(self.shape.lines_flag());
        self.launch(name, port, flags)
    }

    /// Sets variables of the environment of a process that is not started yet, or started again.
    pub fn set_variables(&mut self, name: &str, variables: Vec<(String, String)>) {
        self.variables.insert(name.to_owned(), variables);
    }

    /// Starts one that is not running, on the port it had.
    pub fn restart(&mut self, name: &str) -> anyhow::Result<()> {
        let address = self.get(name)?.address();
        let flags = self.flags.get(name).cloned().unwrap_or_default();
        self.spawn(name, address, flags)?;
        self.get_mut(name)?.ready()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> anyhow::Result<&Process> {
        self.processes.get(name).with_context(|| format!("there is no {name} in this fleet"))
    }

    /// One of them, to be killed.
    pub fn get_mut(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        self.processes.get_mut(name).with_context(|| format!("there is no {name} in this fleet"))
    }

    /// All of them by name.
    pub fn processes(&self) -> impl Iterator<Item = (&str, &Process)> {
        self.processes.iter().map(|(name, process)| (name.as_str(), process))
    }

    /// Where scanners connect: the first agent, or the first gateway where there is none.
    pub fn entrance(&self) -> anyhow::Result<String> {
        let mut agents = self.processes.iter().filter(|(name, _)| name.starts_with("scanner-agent"));
        agents.next().map_or_else(|| self.gateway(), |(_, agent)| Ok(agent.url()))
    }

    /// The first gateway.
    pub fn gateway(&self) -> anyhow::Result<String> {
        let mut gateways = self.processes.iter().filter(|(name, _)| name.starts_with("scanner-gateway"));
        Ok(gateways.next().context("there is no gateway in this fleet")?.1.url())
    }

    /// The database, to be treated badly.
    pub fn cassandra(&mut self) -> anyhow::Result<&mut Cassandra> {
        self.cassandra.as_mut().context("this fleet has no database: set `cassandra` in its shape")
    }

    /// Where questions go.
    pub fn query(&self) -> anyhow::Result<String> {
        Ok(self.get("query")?.url())
    }

    /// Where its logs and data are.
    pub fn folder(&self) -> &std::path::Path {
        &self.shape.folder
    }

    /// Ends it in good order, from the entrance on.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let entrance_first = |name: &String| {
            let before =
                ["scanner-agent", "scanner-gateway"].iter().position(|first| name.starts_with(first));
            (before.unwrap_or(usize::MAX), name.starts_with("results"))
        };
        let mut names: Vec<_> = self.processes.keys().cloned().collect();
        names.sort_by_key(entrance_first);
        for name in names {
            self.get_mut(&name)?.terminate()?;
        }
        Ok(())
    }

    fn launch(&mut self, name: &str, port: usize, flags: Vec<String>) -> anyhow::Result<()> {
        let port = if self.shape.fixed_ports { u16::try_from(port)? } else { 0 };
        self.spawn(name, SocketAddr::from(([127, 0, 0, 1], port)), flags)
    }

    fn spawn(&mut self, name: &str, listen: SocketAddr, flags: Vec<String>) -> anyhow::Result<()> {
        let service = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        let mut command = self.programs.command(&format!("ovomesh-{service}"))?;
        command.args(["--listen", &listen.to_string(), "--instance", name]).args(&flags);
        command.envs(self.variables.get(name).cloned().unwrap_or_default());
        let process = Process::start(name, command, &self.shape.folder)?;
        self.flags.insert(name.to_owned(), flags);
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    fn urls(&self, stage: &str) -> String {
        let urls = self.processes.iter().filter(|(name, _)| name.starts_with(stage)).map(|(_, p)| p.url());
        urls.collect::<Vec<_>>().join(",")
    }
}

/// The numbers and names of `count` processes of a service.
fn names(service: &str, count: usize) -> Vec<(usize, String)> {
    match count {
        1 => vec![(1, service.to_owned())],
        _ => (1..=count).map(|n| (n, format!("{service}-{n}"))).collect(),
    }
}

fn threads(n: usize) -> Vec<String> {
    if n == 0 { Vec::new() } else { vec!["--threads".into(), n.to_string()] }
}
