//! What was seen before, as far as a decision needs it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::arrivals::Arrivals;
use crate::capacity::{Capacity, Did};
use crate::decision::Driver;
use crate::observation::{Gateway, Observation, Stage};

/// Looks closer together than this tell nothing new about rates.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
/// What a gateway had counted is forgotten when it was not seen for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// A gateway that was unseen for more than so many looks had its arrivals all along, not in the last look.
const LOOKS_MISSED: f64 = 1.5;
/// Peaks that are kept at most: an hour of a demand that only falls.
const MOST_PEAKS: usize = 4_096;
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
    completions: [f64; Stage::ALL.len()],
    /// Since when every gateway is seen.
    pub(crate) seen_since: Option<Duration>,
    peaks: VecDeque<Peak>,
    /// What was decided last.
    pub(crate) decided: Option<u32>,
}

/// What a gateway had counted when it was last seen.
#[derive(Clone, Debug, PartialEq)]
struct Counted {
    at: Duration,
    gateway: Gateway,
}

/// A demand that no later one reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    pub(crate) at: Duration,
    pub(crate) demand: f64,
    pub(crate) driver: Driver,
}

/// What came since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    arrived: f64,
    busy: Duration,
    completed: [u64; Stage::ALL.len()],
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
            completed: since.completed[Stage::Inference as usize],
            busy: since.busy,
            ready: seen.replicas.ready,
            backlog: seen.backlog(Stage::Inference),
        };
        self.capacity.note(did, expected);
        let keep = (-look.as_secs_f64() / COMPLETIONS_FADE).exp();
        for (rate, completed) in self.completions.iter_mut().zip(since.completed) {
            *rate = *rate * keep + completed as f64 / look.as_secs_f64() * (1.0 - keep);
        }
    }

    /// Calls that a stage completes in a second.
    pub(crate) fn completions(&self, stage: Stage) -> f64 {
        self.completions[stage as usize]
    }

    /// Takes in the demand of now, and gives the largest of the last `window`, which may be that of now.
    pub(crate) fn peak(&mut self, newest: Peak, window: Duration) -> Peak {
        while self.peaks.back().is_some_and(|peak| peak.demand <= newest.demand) {
            self.peaks.pop_back();
        }
        let full = self.peaks.len() >= MOST_PEAKS;
        match self.peaks.back_mut() {
            // The smallest peak stands for this lower demand too.
            Some(last) if full => last.at = newest.at,
            _ => self.peaks.push_back(newest),
        }
        while self.peaks.front().is_some_and(|peak| newest.at.saturating_sub(peak.at) > window) {
            self.peaks.pop_front();
        }
        self.peaks.front().copied().unwrap_or(newest)
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
        self.busy += gateway.inference.busy.saturating_sub(old.inference.busy);
        for stage in Stage::ALL {
            self.completed[stage as usize] +=
                gateway.stage(stage).completed.saturating_sub(old.stage(stage).completed);
        }
    }
}
