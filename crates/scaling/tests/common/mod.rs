//! A pool of replicas that starts at once and works as expected, told second by second.

use std::time::Duration;

use jiff::Timestamp;
use ovomesh_scaling::{
    Checked, Decision, Gateway, History, Moment, Observation, Replicas, Spec, Stage, decide,
};

/// Scans a second of one replica.
pub const CAPACITY: f64 = 50.0;

#[derive(Clone, Debug)]
pub struct World {
    pub spec: Checked,
    pub history: History,
    pub observation: Observation,
}

impl World {
    /// So many gateways, and one replica.
    pub fn new(spec: Spec, gateways: u32) -> Self {
        let gateway = |n| Gateway { name: format!("gateway-{n}"), ..Gateway::default() };
        Self {
            spec: spec.check().expect("a spec that holds"),
            history: History::default(),
            observation: Observation {
                at: Moment { since_start: Duration::from_secs(1_000), civil: Timestamp::UNIX_EPOCH },
                gateways_expected: gateways,
                gateways: (0..gateways).map(gateway).collect(),
                replicas: Replicas { wanted: 1, ready: 1, starting: 0 },
                start_takes: Duration::from_secs(60),
                budget: Duration::from_secs(2),
            },
        }
    }

    /// Lets a second pass in which so many scans came, the same at each gateway, and decides.
    pub fn second(&mut self, scans: f64) -> Decision {
        self.pass(scans);
        self.decide()
    }

    /// Lets a second pass in which so many scans came.
    pub fn pass(&mut self, scans: f64) {
        let now = &mut self.observation;
        now.at.since_start += Duration::from_secs(1);
        now.at.civil += Duration::from_secs(1);
        let each = (scans / f64::from(now.gateways_expected.max(1))).max(0.0);
        for gateway in &mut now.gateways {
            let scans = each.round() as u64;
            let inference = &mut gateway.stages[Stage::Inference];
            inference.completed += scans;
            inference.busy += Duration::from_secs_f64(scans as f64 / CAPACITY);
            gateway.arrived += scans;
        }
    }

    /// Decides, and has what was decided.
    pub fn decide(&mut self) -> Decision {
        let decision = decide(&self.spec, &self.observation, &mut self.history);
        let wanted = decision.replicas;
        self.observation.replicas = Replicas { wanted, ready: wanted, starting: 0 };
        decision
    }

    /// Many seconds of the same rate.
    pub fn steady(&mut self, seconds: u32, rate: f64) -> Decision {
        (1..seconds).for_each(|_| drop(self.second(rate)));
        self.second(rate)
    }
}
