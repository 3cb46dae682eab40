//! What is done to the mesh, while eggs keep coming.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use ovomesh_testkit::{Fleet, SmallDisk};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::load::Load;

/// What recovers, does so within this time; else the run fails.
const LIMIT: Duration = Duration::from_secs(90);
/// Bytes that a full disk still has. Verdicts of accepted scans fit, scans are refused.
const NEARLY_FULL: u64 = 8 << 20;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Agent, gateway, preprocess, inference and results-store are killed in turn at random moments, so often each.
    KillEach(usize),
    /// Everything is killed at once, the database too.
    KillAll,
    /// One of three nodes of the database is killed.
    KillOneOfThree,
    /// The only database is killed, and started again after a while.
    DatabaseAway(Duration),
    /// All gateways are killed, and started again after a while.
    GatewaysRefused(Duration),
    /// All gateways are stopped (SIGSTOP) for a while: connections stay, nothing answers.
    GatewaysSilent(Duration),
    /// The disk of an agent's spool is full for a while, first for scans, then for everything.
    SpoolDiskFull(Duration),
}

impl Fault {
    /// All, short enough for every change or as long as promised.
    pub fn all(long: bool) -> Vec<Self> {
        let seconds = |short, full| Duration::from_secs(if long { full } else { short });
        let mut all = vec![
            Self::KillEach(if long { 10 } else { 2 }),
            Self::KillAll,
            Self::DatabaseAway(seconds(8, 60)),
            Self::GatewaysRefused(seconds(6, 60)),
            Self::GatewaysSilent(seconds(6, 60)),
            Self::SpoolDiskFull(seconds(3, 10)),
        ];
        if long {
            all.push(Self::KillOneOfThree);
        }
        all
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillEach(_) => "kill each",
            Self::KillAll => "kill all",
            Self::KillOneOfThree => "kill one database of three",
            Self::DatabaseAway(_) => "database away",
            Self::GatewaysRefused(_) => "gateways refused",
            Self::GatewaysSilent(_) => "gateways silent",
            Self::SpoolDiskFull(_) => "spool disk full",
        }
    }

    /// Whether it needs a disk that can be filled.
    pub fn needs_disk(self) -> bool {
        matches!(self, Self::SpoolDiskFull(_))
    }

    /// Nodes of the database that it needs.
    pub fn nodes(self) -> usize {
        if self == Self::KillOneOfThree { 3 } else { 1 }
    }
}

/// A fleet, and what may happen to it.
pub struct World {
    /// The mesh.
    pub fleet: Fleet,
    /// The disk of the first agent's spool, where one can be mounted.
    pub disk: Option<SmallDisk>,
    /// Decides when.
    pub rng: ChaCha8Rng,
}

impl World {
    /// Does it, and comes back when the mesh has recovered: how long that took after each kill.
    pub async fn strike(&mut self, fault: Fault, load: &Load) -> anyhow::Result<Vec<Duration>> {
        match fault {
            Fault::KillEach(times) => self.kill_each(times, load).await,
            Fault::KillAll => self.kill_all(load).await,
            Fault::KillOneOfThree => {
                blocking(|| self.fleet.cassandra()?.kill(2))?;
                let killed = Instant::now();
                let recovery = recovered(load, killed).await?;
                self.pause(5_000..8_000).await;
                blocking(|| self.fleet.cassandra()?.restart(2))?;
                Ok(vec![recovery])
            }
            Fault::DatabaseAway(time) => {
                blocking(|| self.fleet.cassandra()?.kill(1))?;
                let killed = Instant::now();
                let recovery = recovered(load, killed).await?;
                tokio::time::sleep(time).await;
                blocking(|| self.fleet.cassandra()?.restart(1))?;
                Ok(vec![recovery])
            }
            Fault::GatewaysRefused(time) => {
                let gateways = self.names("scanner-gateway");
                blocking(|| gateways.iter().try_for_each(|name| self.fleet.get_mut(name)?.kill()))?;
                tokio::time::sleep(time).await;
                let back = Instant::now();
                blocking(|| gateways.iter().try_for_each(|name| self.fleet.restart(name)))?;
                Ok(vec![recovered(load, back).await?])
            }
            Fault::GatewaysSilent(time) => {
                let gateways = self.names("scanner-gateway");
                gateways.iter().try_for_each(|name| self.fleet.get(name)?.freeze())?;
                tokio::time::sleep(time).await;
                let back = Instant::now();
                gateways.iter().try_for_each(|name| self.fleet.get(name)?.thaw())?;
                Ok(vec![recovered(load, back).await?])
            }
            Fault::SpoolDiskFull(time) => {
                let disk = self.disk.as_ref().context("no small disk could be mounted here")?;
                for free in [NEARLY_FULL, 0] {
                    disk.fill(free)?;
                    tokio::time::sleep(time).await;
                }
                let back = Instant::now();
                disk.empty()?;
                Ok(vec![recovered(load, back).await?])
            }
        }
    }

    async fn kill_each(&mut self, times: usize, load: &Load) -> anyhow::Result<Vec<Duration>> {
        let services = ["scanner-agent", "scanner-gateway", "preprocess", "inference", "results-store"];
        let mut order: Vec<&str> = services.into_iter().cycle().take(times * services.len()).collect();
        order.shuffle(&mut self.rng);
        let mut recoveries = Vec::new();
        for service in order {
            self.pause(300..2_000).await;
            let mut names = self.names(service);
            names.shuffle(&mut self.rng);
            let name = names.pop().with_context(|| format!("no {service} to kill"))?;
            blocking(|| self.fleet.get_mut(&name)?.kill())?;
            let killed = Instant::now();
            self.pause(0..1_000).await;
            blocking(|| self.fleet.restart(&name))?;
            let recovery =
                recovered(load, killed).await.with_context(|| format!("after {name} was killed"))?;
            recoveries.push(recovery);
        }
        Ok(recoveries)
    }

    async fn kill_all(&mut self, load: &Load) -> anyhow::Result<Vec<Duration>> {
        let mut names: Vec<String> = self.fleet.processes().map(|(name, _)| name.to_owned()).collect();
        // Stores first: who needs them is not ready before.
        names.sort_by_key(|name| (!name.starts_with("results-store"), name.starts_with("scanner-")));
        let nodes = self.fleet.cassandra()?.replication();
        blocking(|| {
            names.iter().try_for_each(|name| self.fleet.get_mut(name)?.kill())?;
            (1..=nodes).try_for_each(|node| self.fleet.cassandra()?.kill(node))
        })?;
        let killed = Instant::now();
        blocking(|| {
            (1..=nodes).try_for_each(|node| self.fleet.cassandra()?.restart(node))?;
            names.iter().try_for_each(|name| self.fleet.restart(name))
        })?;
        Ok(vec![recovered(load, killed).await?])
    }

    /// Processes of a service.
    fn names(&self, service: &str) -> Vec<String> {
        let of_service = self.fleet.processes().filter(|(name, _)| name.starts_with(service));
        of_service.map(|(name, _)| name.to_owned()).collect()
    }

    async fn pause(&mut self, ms: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(ms))).await;
    }
}

/// Waits until every line has had a verdict of the mesh for a scan sent after `since`.
async fn recovered(load: &Load, since: Instant) -> anyhow::Result<Duration> {
    loop {
        if let Some(recovery) = load.book.recovered(since, load.lines) {
            return Ok(recovery);
        }
        anyhow::ensure!(since.elapsed() < LIMIT, "no verdict of the mesh on some line for {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Processes are started and killed by code that waits; the eggs go on meanwhile.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
