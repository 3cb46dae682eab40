//! The operator's own decision function, told what the operator would be told.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ovomesh_scaling::{
    Checked, Gateway, History, Moment, Observation, PerStage, Replicas, Spec, Stage, StageLoad, Window,
    decide,
};

use crate::fleet::CAPACITY;
use crate::scaler::{Scaler, View};
use crate::trace::{LINE, MORNING};

/// The operator looks once a second.
const LOOP: f64 = 1.0;
/// A gateway reports once a second: half a second old on average.
const REPORT_AGE: f64 = 0.5;
/// From the patch to the pods: as for the HPA.
pub const APPLY: f64 = 0.5;
/// Gateways of the fleet.
const GATEWAYS: u64 = 2;

/// The operator.
#[derive(Debug)]
pub struct Ours {
    spec: Checked,
    history: History,
    start_takes: f64,
    looks: u32,
}

impl Ours {
    /// With a spec, and what a start usually takes in seconds.
    pub fn new(spec: Checked, start_takes: f64) -> Self {
        Self { spec, history: History::default(), start_takes, looks: 0 }
    }

    /// The spec that is measured: all defaults, and a maximum that does not bind.
    pub fn spec() -> Spec {
        Spec { max: 200, expected_scans_per_second: CAPACITY, ..Spec::default() }
    }

    /// The same with a window from the begin to the end of the morning's hour.
    pub fn spec_with_schedule() -> Spec {
        let [from, to] = MORNING.map(|at| Time::MIN + SignedDuration::from_secs_f64(at));
        let window = Window {
            name: "morning".to_owned(),
            from,
            to,
            days: Vec::new(),
            time_zone: TimeZone::UTC,
            replicas: (40.0 * LINE / CAPACITY).ceil() as u32,
        };
        Spec { schedule: vec![window], ..Self::spec() }
    }
}

impl Scaler for Ours {
    fn next(&self) -> f64 {
        f64::from(self.looks) * LOOP + 0.3
    }

    fn look(&mut self, view: &View<'_>) -> Option<u32> {
        self.looks += 1;
        let share = |all: u64, n: u64| all * (n + 1) / GATEWAYS - all * n / GATEWAYS;
        let gateway = |n| {
            let mut stages = PerStage::default();
            stages[Stage::Inference] = StageLoad {
                completed: share(view.seen.completed, n),
                busy: Duration::from_secs_f64(view.seen.busy / GATEWAYS as f64),
                backlog: share(view.seen.backlog, n),
            };
            Gateway { name: format!("gateway-{n}"), arrived: share(view.seen.arrived, n), stages }
        };
        let since = SignedDuration::from_secs_f64(view.now);
        let observation = Observation {
            at: Moment {
                since_start: Duration::from_secs_f64(view.now),
                civil: Timestamp::UNIX_EPOCH.checked_add(since).unwrap_or(Timestamp::MAX),
            },
            gateways_expected: GATEWAYS as u32,
            gateways: (0..GATEWAYS).map(gateway).collect(),
            replicas: Replicas {
                wanted: view.seen.wanted,
                ready: view.seen.ready,
                starting: view.seen.starting,
            },
            start_takes: Duration::from_secs_f64(self.start_takes),
            budget: Duration::from_secs(2),
        };
        let replicas = decide(&self.spec, &observation, &mut self.history).replicas;
        (replicas != view.seen.wanted).then_some(replicas)
    }

    fn takes(&self) -> f64 {
        REPORT_AGE + APPLY
    }
}
