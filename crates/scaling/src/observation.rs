//! What is seen at one moment.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use jiff::Timestamp;

/// The stages of the mesh behind a gateway, in the order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Cleaning of the volume.
    Preprocess,
    /// The network: what is scaled here.
    Inference,
    /// Rows on their way to the database.
    Store,
}

impl Stage {
    /// All, in the order of a scan.
    pub const ALL: [Self; 3] = [Self::Preprocess, Self::Inference, Self::Store];

    /// The stage that gateways report by this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The name by which gateways report it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preprocess => "preprocess",
            Self::Inference => "inference",
            Self::Store => "results-store",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value for each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerStage<T>([T; Stage::ALL.len()]);

impl<T> Index<Stage> for PerStage<T> {
    type Output = T;

    fn index(&self, stage: Stage) -> &T {
        &self.0[stage as usize]
    }
}

impl<T> IndexMut<Stage> for PerStage<T> {
    fn index_mut(&mut self, stage: Stage) -> &mut T {
        &mut self.0[stage as usize]
    }
}

/// When something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since any fixed moment, on a clock that never goes back: what rates and waits are measured by.
    pub since_start: Duration,
    /// The clock on the wall, for the schedule alone.
    pub civil: Timestamp,
}

/// What one gateway has counted for one pool of inference since it started. A count that is lower than before means that
/// it started anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Its name among the gateways; one that is new is counted from its first report on.
    pub name: String,
    /// Scans that arrived for the pool and have a deadline. Those that are decided already (spooled, sent again) are not
    /// in it.
    pub arrived: u64,
    /// The pool itself as [`Stage::Inference`], and the other stages with all their pools.
    pub stages: PerStage<StageLoad>,
}

/// How one stage did, as one gateway sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageLoad {
    /// Calls answered since the gateway started.
    pub completed: u64,
    /// Time that replicas worked for it since the gateway started: the sum over its calls of the batch's time divided
    /// by the calls of that batch (the mean wall time of a worker, where a replica has several at once).
    pub busy: Duration,
    /// Calls that are not answered now and whose deadline has not passed.
    pub backlog: u64,
}

/// The replicas of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// What the Deployment asks for now, by whomever it was set.
    pub wanted: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those that are on their way: created, and not yet ready.
    pub starting: u32,
}

/// What is seen at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When.
    pub at: Moment,
    /// How many gateways there are.
    pub gateways_expected: u32,
    /// The fresh reports: of a gateway whose last report is older than a few seconds there is none.
    pub gateways: Vec<Gateway>,
    /// The replicas of the pool.
    pub replicas: Replicas,
    /// How long a replica takes from the order until it is ready: as measured, else a guess. At most 10 min are looked
    /// ahead.
    pub start_takes: Duration,
    /// The shortest budget of the lines, for `seconds_to_miss` alone. The default of a line is 2 s.
    pub budget: Duration,
}

impl Observation {
    /// Whether every gateway is seen, and there is one.
    #[must_use]
    pub fn all_seen(&self) -> bool {
        self.gateways_expected > 0 && self.seen() >= self.gateways_expected
    }

    /// Gateways with a fresh report.
    #[must_use]
    pub fn seen(&self) -> u32 {
        u32::try_from(self.gateways.len()).unwrap_or(u32::MAX)
    }

    /// Unexpired backlog of a stage over all gateways.
    #[must_use]
    pub fn backlog(&self, stage: Stage) -> u64 {
        self.gateways.iter().fold(0, |sum, gateway| sum.saturating_add(gateway.stages[stage].backlog))
    }
}
