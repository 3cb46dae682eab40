//! The decision itself.

use std::time::Duration;

use jiff::SignedDuration;

use crate::arrivals::{Arrivals, Burst, Surge};
use crate::decision::{Decision, Driver, Reason};
use crate::history::History;
use crate::observation::{Observation, Stage};
use crate::peaks::Peak;
use crate::spec::{Checked, Fallback};

/// Of the headroom so much may be used up before a replica is added: or noise would add and take away the same one.
const TOLERANCE: f64 = 1.1;
/// A forecast looks ahead at most so far: what trends of two minutes can carry.
const LONGEST_LEAD: Duration = Duration::from_secs(600);
/// A stage is a bottleneck once what is at it takes so long, in seconds. Less is work, not waiting.
const WAITING: f64 = 0.1;

/// How many replicas there are to be now. The same spec, observation and history give the same decision and the same
/// history after it. Observations are to be told about once a second, in the order of their time.
pub fn decide(spec: &Checked, seen: &Observation, history: &mut History) -> Decision {
    history.note(seen, spec.expected_scans_per_second);
    let capacity = history.capacity.per_replica(spec.expected_scans_per_second);
    let at = seen.at.since_start;
    let lead = lead(seen);
    let burst = burst(spec, history);
    let measured = largest(at, measured(spec, seen, history, burst));
    let told = largest(at, told(spec, lead, &history.arrivals));
    let needed = Needed {
        measured: history.measured.largest(measured, spec.scale_down_after),
        burst: history.bursts.largest(largest(at, burst.into_iter().collect()), spec.scale_down_after),
        told: history.told.largest(told, lead),
        now: at,
        capacity,
    };
    let (replicas, reason) = choose(spec, seen, history, &needed);
    history.decided = Some(replicas);
    Decision {
        replicas,
        reason,
        demand: measured.demand.max(told.demand),
        capacity,
        backlog: seen.backlog(Stage::Inference),
        seconds_to_miss: seconds_to_miss(seen, history, capacity),
        bottleneck: bottleneck(seen, history),
    }
}

/// So far ahead a replica that is ordered now is ready, as far as a forecast carries.
fn lead(seen: &Observation) -> Duration {
    seen.start_takes.min(LONGEST_LEAD)
}

/// A part of the demand: so many scans a second, and what they are.
type Part = (f64, Driver);

/// What came. There is noise in it; its peak is remembered for the stabilisation.
fn measured(spec: &Checked, seen: &Observation, history: &History, burst: Option<Part>) -> Vec<Part> {
    let arrivals = &history.arrivals;
    let rate = arrivals.rate();
    let drain = spec.target_drain.as_secs_f64();
    let mut parts = vec![(rate * spec.headroom, Driver::Rate { rate })];
    parts.extend(burst);
    // While replicas are on their way a queue says nothing that the rate does not; and what came within the drain target
    // is in the rate and in the burst already.
    if seen.replicas.starting == 0 {
        let waiting = seen.backlog(Stage::Inference);
        let overdue = (waiting as f64 - arrivals.within(drain)).max(0.0);
        parts.push((rate + overdue / drain, Driver::Backlog { waiting }));
    }
    parts
}

/// The largest burst of the latest seconds.
fn burst(spec: &Checked, history: &History) -> Option<Part> {
    let Burst { scans, seconds, demand } = history.arrivals.burst(spec.target_drain.as_secs_f64())?;
    Some((demand * spec.headroom, Driver::Burst { scans, seconds }))
}

/// What few seconds tell of what is to come. It is beyond the noise; its peak is remembered until replicas that are
/// ordered for it are ready: by then it is measured, or it was wrong.
fn told(spec: &Checked, lead: Duration, arrivals: &Arrivals) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(Surge { before, rate, seconds }) = arrivals.surge() {
        parts.push((rate * spec.headroom, Driver::Surge { before, rate, seconds }));
    }
    let seconds = lead.as_secs_f64();
    if let Some((rate, ahead)) = arrivals.ahead(seconds) {
        parts.push((ahead * spec.headroom, Driver::Trend { rate, ahead, seconds }));
    }
    parts
}

/// The part that asks for the most.
fn largest(at: Duration, parts: Vec<Part>) -> Peak {
    let mut most = Peak { at, demand: 0.0, driver: Driver::Rate { rate: 0.0 } };
    for (demand, driver) in parts {
        if demand > most.demand {
            most = Peak { at, demand, driver };
        }
    }
    most
}

/// What the demand asks for.
struct Needed {
    measured: Peak,
    /// The largest burst alone, whatever else asks for more.
    burst: Peak,
    told: Peak,
    now: Duration,
    capacity: f64,
}

impl Needed {
    /// So many and more are enough: noise has not used up more of the headroom than it may.
    fn enough(&self) -> u32 {
        self.forgiving(TOLERANCE)
    }

    /// So many are wanted where there are too few or too many: noise has a long way to go in either direction.
    fn best(&self) -> u32 {
        self.forgiving(TOLERANCE.sqrt())
    }

    fn forgiving(&self, noise: f64) -> u32 {
        replicas((self.measured.demand / noise).max(self.told.demand), self.capacity)
    }

    /// Replicas that a burst asks for if it comes again.
    fn for_burst(&self) -> u32 {
        replicas(self.burst.demand / TOLERANCE.sqrt(), self.capacity)
    }

    /// What asks for the most.
    fn peak(&self) -> Peak {
        if self.told.demand > self.measured.demand { self.told } else { self.measured }
    }

    /// Why, if the demand decides.
    fn reason(&self) -> Reason {
        let peak = self.peak();
        if peak.at == self.now {
            return Reason::Demand(peak.driver);
        }
        let seconds_ago = self.now.saturating_sub(peak.at).as_secs_f64();
        Reason::Peak { driver: peak.driver, seconds_ago }
    }
}

fn choose(spec: &Checked, seen: &Observation, history: &History, needed: &Needed) -> (u32, Reason) {
    if let Some(fixed) = spec.fixed_replicas {
        return (fixed, Reason::Pinned);
    }
    let there = seen.replicas.wanted;
    let wanted = if (needed.enough()..=needed.best()).contains(&there) { there } else { needed.best() };
    let mut floor = Floor(wanted, needed.reason());
    let lead = SignedDuration::try_from(lead(seen)).unwrap_or_default();
    for window in spec.schedule.iter().filter(|window| window.open(seen.at.civil, lead)) {
        floor.raise(window.replicas, || Reason::Schedule { window: window.name.clone() });
    }
    floor.raise(spec.min, || Reason::Minimum);
    if seen.all_seen() {
        let missing = floor.0.min(spec.max).saturating_sub(seen.replicas.ready);
        // The headroom bears one missing replica for a while, unless the same burst can come again
        // meanwhile: also when something else asks for more, or more demand would mean fewer replicas.
        let bearable = if needed.for_burst() > seen.replicas.ready { 0 } else { 1 };
        if missing > bearable {
            let ordered = ordered_twice(floor.0, missing, there);
            floor.raise(ordered.min(spec.max), || Reason::Starting { missing });
        }
        let learned = seen.at.since_start.saturating_sub(history.seen_since.unwrap_or(seen.at.since_start));
        if learned < spec.scale_down_after {
            let seconds_left = (spec.scale_down_after - learned).as_secs_f64();
            floor.raise(there, || Reason::Learning { seconds_left });
        }
    } else {
        let unseen = Reason::Unseen { seen: seen.seen(), expected: seen.gateways_expected };
        let mut held = there.max(history.decided.unwrap_or(0));
        if let (Fallback::AtLeast(replicas), 0) = (spec.fallback, seen.seen()) {
            held = held.max(replicas);
        }
        if held >= floor.0 {
            floor = Floor(held, unseen);
        }
    }
    let Floor(replicas, reason) = floor;
    if replicas > spec.max {
        return (spec.max, Reason::Maximum { needed: replicas });
    }
    (replicas, reason)
}

/// The most that anything asked for so far, and what that was.
struct Floor(u32, Reason);

impl Floor {
    fn raise(&mut self, replicas: u32, reason: impl FnOnce() -> Reason) {
        if replicas > self.0 {
            *self = Self(replicas, reason());
        }
    }
}

/// What is ordered while so many of the replicas that are `wanted` are missing, with what is `there` by the last order: twice
/// what is missing, and no less than before until enough are ready, so that the first that are ready stay.
#[must_use]
pub fn ordered_twice(wanted: u32, missing: u32, there: u32) -> u32 {
    wanted.saturating_add(missing).max(there.min(wanted.saturating_mul(2)))
}

/// Replicas for a demand; what is beyond a whole number by rounding alone asks for no replica.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn replicas(demand: f64, capacity: f64) -> u32 {
    // A float too large for u32 becomes the largest, and the limit of the spec is applied to that.
    (demand / capacity - 1e-9).ceil().max(0.0) as u32
}

/// When the queue is longer than the ready replicas work off within the budget.
fn seconds_to_miss(seen: &Observation, history: &History, capacity: f64) -> Option<f64> {
    let does = f64::from(seen.replicas.ready) * capacity;
    let comes = history.arrivals.surge().map_or(0.0, |surge| surge.rate).max(history.arrivals.rate());
    let room = does * seen.budget.as_secs_f64() - seen.backlog(Stage::Inference) as f64;
    if room < 0.0 {
        return Some(0.0);
    }
    (comes > does).then(|| room / (comes - does))
}

/// The stage whose scans wait the longest.
fn bottleneck(seen: &Observation, history: &History) -> Option<Stage> {
    let wait = |stage| seen.backlog(stage) as f64 / history.completions(stage).max(1.0);
    let longest = Stage::ALL.into_iter().max_by(|&a, &b| wait(a).total_cmp(&wait(b)))?;
    (wait(longest) > WAITING).then_some(longest)
}
