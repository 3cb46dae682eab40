//! What is seen at one moment.

use std::fmt;
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
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preprocess => "preprocess",
            Self::Inference => "inference",
            Self::Store => "results-store",
        })
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

/// What one gateway has counted since it started. A count that is lower than before means that it started anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Its name among the gateways; one that is new is counted from its first report on.
    pub name: String,
    /// Scans that came in and have a deadline. Those that are decided already (spooled, sent again) are not in it.
    pub arrived: u64,
    /// Per stage.
    pub preprocess: StageLoad,
    /// Per stage.
    pub inference: StageLoad,
    /// Per stage.
    pub store: StageLoad,
    /// Scans without a deadline that wait now. They run on what is spare and ask for no replica.
    pub late_backlog: u64,
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

impl Gateway {
    /// The load of a stage.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &StageLoad {
        match stage {
            Stage::Preprocess => &self.preprocess,
            Stage::Inference => &self.inference,
            Stage::Store => &self.store,
        }
    }
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
        self.gateways.iter().fold(0, |sum, gateway| sum.saturating_add(gateway.stage(stage).backlog))
    }
}
