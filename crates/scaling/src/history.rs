//! What was seen before, as far as a decision needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arrivals::Arrivals;
use crate::capacity::{Capacity, Did};
use crate::observation::{Gateway, Observation, PerStage, Stage};
use crate::peaks::Peaks;

/// Looks closer together than this tell nothing new about rates.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
/// What a gateway had counted is forgotten when it was not seen for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// A gateway that was unseen for more than so many looks had its arrivals all along, not in the last look.
const LOOKS_MISSED: f64 = 1.5;
/// The rate at which a stage completes is a mean that fades over so many seconds.
const COMPLETIONS_FADE: f64 = 10.0;

/// What was seen before. Empty for an operator that just started: it then takes nothing away until it has seen all
/// gateways for the whole stabilisation. Its size is bounded whatever is observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    last: Option<Duration>,
    gateways: BTreeMap<String, Counted>,
    pub(crate) arrivals: Arrivals,
    pub(crate) capacity: Capacity,
    completions: PerStage<f64>,
    /// Since when every gateway is seen.
    pub(crate) seen_since: Option<Duration>,
    /// The largest demands that were measured, and those that were told forward.
    pub(crate) measured: Peaks,
    /// The largest bursts, which are among what was measured.
    pub(crate) bursts: Peaks,
    pub(crate) told: Peaks,
    /// What was decided last.
    pub(crate) decided: Option<u32>,
}

/// What a gateway had counted when it was last seen.
#[derive(Clone, Debug, PartialEq)]
struct Counted {
    at: Duration,
    gateway: Gateway,
}

/// What came since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    arrived: f64,
    busy: Duration,
    completed: PerStage<u64>,
}

impl History {
    /// Takes in what is seen now. A replica is expected to do so many scans a second.
    pub(crate) fn note(&mut self, seen: &Observation, expected: f64) {
        let now = seen.at.since_start;
        if !seen.all_seen() {
            self.seen_since = None;
        } else if self.seen_since.is_none_or(|since| since > now) {
            self.seen_since = Some(now);
        }
        let Some(last) = self.last else {
            self.remember(now, &seen.gateways);
            return;
        };
        let look = now.saturating_sub(last);
        if look < SHORTEST_LOOK {
            return;
        }
        let mut since = Since::default();
        for gateway in &seen.gateways {
            if let Some(before) = self.gateways.get(&gateway.name) {
                since.add(gateway, before, now, look);
            }
        }
        self.remember(now, &seen.gateways);
        if seen.gateways.is_empty() {
            return;
        }
        self.arrivals.push(since.arrived, look.as_secs_f64());
        let did = Did {
            completed: since.completed[Stage::Inference],
            busy: since.busy,
            ready: seen.replicas.ready,
            backlog: seen.backlog(Stage::Inference),
        };
        self.capacity.note(did, expected);
        let keep = (-look.as_secs_f64() / COMPLETIONS_FADE).exp();
        for stage in Stage::ALL {
            let rate = since.completed[stage] as f64 / look.as_secs_f64();
            self.completions[stage] = self.completions[stage] * keep + rate * (1.0 - keep);
        }
    }

    /// Calls that a stage completes in a second.
    pub(crate) fn completions(&self, stage: Stage) -> f64 {
        self.completions[stage]
    }

    fn remember(&mut self, now: Duration, gateways: &[Gateway]) {
        self.last = Some(now);
        for gateway in gateways {
            self.gateways.insert(gateway.name.clone(), Counted { at: now, gateway: gateway.clone() });
        }
        self.gateways.retain(|_, counted| now.saturating_sub(counted.at) <= FORGOTTEN_AFTER);
    }
}

impl Since {
    fn add(&mut self, gateway: &Gateway, before: &Counted, now: Duration, look: Duration) {
        let old = &before.gateway;
        // A lower count: the gateway started anew, and all that it counted is new.
        let anew = gateway.arrived < old.arrived;
        let nothing = Gateway::default();
        let old = if anew { &nothing } else { old };
        let unseen = now.saturating_sub(before.at).as_secs_f64();
        let look = look.as_secs_f64();
        let share = if unseen > look * LOOKS_MISSED { look / unseen } else { 1.0 };
        self.arrived += gateway.arrived.saturating_sub(old.arrived) as f64 * share;
        if share < 1.0 {
            return;
        }
        let busy = |gateway: &Gateway| gateway.stages[Stage::Inference].busy;
        self.busy += busy(gateway).saturating_sub(busy(old));
        for stage in Stage::ALL {
            let completed = |gateway: &Gateway| gateway.stages[stage].completed;
            self.completed[stage] += completed(gateway).saturating_sub(completed(old));
        }
    }
}
