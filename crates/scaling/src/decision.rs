//! What is decided, and why, in words.

use std::fmt;

use crate::observation::Stage;

/// How many replicas there are to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// So many.
    pub replicas: u32,
    /// Why, for people: its `Display` is a sentence without a full stop.
    pub reason: Reason,
    /// Scans a second that there has to be room for, headroom included.
    pub demand: f64,
    /// What one replica is taken to do, in scans a second.
    pub capacity: f64,
    /// Scans that wait at inference and are in time.
    pub backlog: u64,
    /// When the first scan will be late if nothing changes, in seconds: the ready replicas have less capacity than scans
    /// come. None: not in sight.
    pub seconds_to_miss: Option<f64>,
    /// The stage behind which scans wait the longest. None: nothing waits.
    pub bottleneck: Option<Stage>,
}

/// Which part of the demand is the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Driver {
    /// The rate of the last 60 s, times the headroom.
    Rate {
        /// Scans a second.
        rate: f64,
    },
    /// The rate of the last seconds, which is beyond the noise of the minute before.
    Surge {
        /// Scans a second before.
        before: f64,
        /// Scans a second now.
        rate: f64,
        /// Over so many seconds.
        seconds: f64,
    },
    /// The rate grows.
    Trend {
        /// Scans a second now.
        rate: f64,
        /// Scans a second when a replica ordered now is ready.
        ahead: f64,
        /// So many seconds from now.
        seconds: f64,
    },
    /// Scans that came at once.
    Burst {
        /// So many.
        scans: f64,
        /// Within so many seconds.
        seconds: f64,
    },
    /// Scans wait for longer than the drain target.
    Backlog {
        /// So many.
        waiting: u64,
    },
}

/// Why a decision is what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// `fixedReplicas` pins it.
    Pinned,
    /// No gateway, or not every gateway, is seen: nothing is taken away.
    Unseen {
        /// Gateways with a fresh report.
        seen: u32,
        /// Gateways that there are.
        expected: u32,
    },
    /// The demand of now.
    Demand(Driver),
    /// The demand is lower than what there is room for; its peak within the stabilisation still counts.
    Peak {
        /// What drove the peak.
        driver: Driver,
        /// So many seconds ago.
        seconds_ago: f64,
    },
    /// Replicas are missing, so more are ordered: the first that are ready stay.
    Starting {
        /// So many.
        missing: u32,
    },
    /// The demand may be lower, but gateways have not been seen for the whole stabilisation yet.
    Learning {
        /// So many seconds are left.
        seconds_left: f64,
    },
    /// A window of the schedule asks for more than the demand.
    Schedule {
        /// Name of the window.
        window: String,
    },
    /// The demand is below `minReplicas`.
    Minimum,
    /// The demand is above `maxReplicas`.
    Maximum {
        /// What there would be without the limit.
        needed: u32,
    },
}

impl Reason {
    /// One word for a condition or an event, in CamelCase.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pinned => "Pinned",
            Self::Unseen { .. } => "GatewaysUnseen",
            Self::Demand(Driver::Rate { .. }) => "Rate",
            Self::Demand(Driver::Surge { .. }) => "Surge",
            Self::Demand(Driver::Trend { .. }) => "Trend",
            Self::Demand(Driver::Burst { .. }) => "Burst",
            Self::Demand(Driver::Backlog { .. }) => "Backlog",
            Self::Peak { .. } => "RecentPeak",
            Self::Starting { .. } => "Starting",
            Self::Learning { .. } => "Learning",
            Self::Schedule { .. } => "Schedule",
            Self::Minimum => "Minimum",
            Self::Maximum { .. } => "Maximum",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Rate { rate } => write!(f, "{rate:.1} scans/s come"),
            Self::Surge { before, rate, seconds } => {
                write!(f, "{rate:.1} scans/s came in the last {seconds:.0} s, {before:.1}/s before")
            }
            Self::Trend { rate, ahead, seconds } => {
                write!(
                    f,
                    "{rate:.1} scans/s come and grow to {ahead:.1}/s in the {seconds:.0} s that a replica takes to start"
                )
            }
            Self::Burst { scans, seconds } => {
                write!(f, "{scans:.0} scans came within {seconds:.0} s")
            }
            Self::Backlog { waiting } => write!(f, "{waiting} scans have waited for too long"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => f.write_str("fixedReplicas says so"),
            Self::Unseen { seen, expected: 0 } => {
                write!(f, "{seen} gateways are seen and none is known: nothing is taken away")
            }
            Self::Unseen { seen, expected } => {
                write!(f, "only {seen} of {expected} gateways are seen: nothing is taken away")
            }
            Self::Demand(driver) => driver.fmt(f),
            Self::Peak { driver, seconds_ago } => {
                write!(f, "{driver}, {seconds_ago:.0} s ago, which still counts")
            }
            Self::Starting { missing: 1 } => {
                f.write_str("one is missing, so two start: the first that is ready stays")
            }
            Self::Starting { missing } => {
                write!(f, "{missing} are missing, so twice as many start: the first that are ready stay")
            }
            Self::Learning { seconds_left } => {
                write!(
                    f,
                    "all gateways have to be seen for {seconds_left:.0} s more before anything is taken away"
                )
            }
            Self::Schedule { window } => write!(f, "the schedule's window {window:?} is open or opens soon"),
            Self::Minimum => f.write_str("minReplicas says so"),
            Self::Maximum { needed } => {
                write!(f, "{needed} are needed, maxReplicas allows no more: raise it or scans will be late")
            }
        }
    }
}
