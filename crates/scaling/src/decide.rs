//! The decision itself.

use std::time::Duration;

use jiff::SignedDuration;

use crate::arrivals::Surge;
use crate::decision::{Decision, Driver, Reason};
use crate::history::History;
use crate::observation::{Observation, Stage};
use crate::peaks::Peak;
use crate::spec::{Checked, Fallback};

/// Of the headroom so much may be used up before a replica is added: or noise would add and take away the same one.
const TOLERANCE: f64 = 1.1;
/// Of the replicas that are missing, where these are two or more, so many more are ordered.
const EXTRA: f64 = 1.0;
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
    let parts = parts(spec, seen, history);
    let full = largest(&parts, at, 1.0);
    let pressing = largest(&parts, at, TOLERANCE);
    let needed = Needed {
        full: history.full.largest(full, spec.scale_down_after),
        pressing: history.pressing.largest(pressing, spec.scale_down_after),
        now: at,
        capacity,
    };
    let (replicas, reason) = choose(spec, seen, history, &needed);
    history.decided = Some(replicas);
    Decision {
        replicas,
        reason,
        demand: full.demand,
        capacity,
        backlog: seen.backlog(Stage::Inference),
        seconds_to_miss: seconds_to_miss(seen, history, capacity),
        bottleneck: bottleneck(seen, history),
    }
}

/// A part of the demand.
struct Part {
    /// Scans a second.
    demand: f64,
    /// Whether noise can be a part of it.
    noisy: bool,
    driver: Driver,
}

/// What is to be met; the largest part counts.
fn parts(spec: &Checked, seen: &Observation, history: &History) -> Vec<Part> {
    let arrivals = &history.arrivals;
    let rate = arrivals.rate();
    let mut parts = vec![Part { demand: rate * spec.headroom, noisy: true, driver: Driver::Rate { rate } }];
    if let Some(Surge { before, rate, seconds }) = arrivals.surge() {
        let driver = Driver::Surge { before, rate, seconds };
        parts.push(Part { demand: rate * spec.headroom, noisy: false, driver });
    }
    let seconds = seen.start_takes.min(LONGEST_LEAD).as_secs_f64();
    if let Some((now, ahead)) = arrivals.ahead(seconds) {
        let driver = Driver::Trend { rate: now, ahead, seconds };
        parts.push(Part { demand: ahead * spec.headroom, noisy: false, driver });
    }
    let drain = spec.target_drain.as_secs_f64();
    let burst = arrivals.burst(drain);
    let driver = Driver::Burst { scans: burst.scans, seconds: burst.seconds };
    parts.push(Part { demand: burst.demand, noisy: true, driver });
    // While replicas are on their way a queue says nothing that the rate does not; and what came within the drain target
    // is in the rate and in the burst already.
    if seen.replicas.starting == 0 {
        let waiting = seen.backlog(Stage::Inference);
        let overdue = (waiting as f64 - arrivals.within(drain)).max(0.0);
        let driver = Driver::Backlog { waiting };
        parts.push(Part { demand: rate + overdue / drain, noisy: true, driver });
    }
    parts
}

/// The largest part, where noise is forgiven up to `tolerance`.
fn largest(parts: &[Part], at: Duration, tolerance: f64) -> Peak {
    let mut peak = Peak { at, demand: 0.0, driver: Driver::Rate { rate: 0.0 } };
    for part in parts {
        let demand = if part.noisy { part.demand / tolerance } else { part.demand };
        if demand > peak.demand {
            peak = Peak { at, demand, driver: part.driver };
        }
    }
    peak
}

/// What the demand asks for.
struct Needed {
    full: Peak,
    pressing: Peak,
    now: Duration,
    capacity: f64,
}

impl Needed {
    /// With so many, all of the headroom is there.
    fn full(&self) -> u32 {
        replicas(self.full.demand, self.capacity).max(self.pressing())
    }

    /// With fewer, too little of the headroom is there.
    fn pressing(&self) -> u32 {
        replicas(self.pressing.demand, self.capacity)
    }

    /// Where noise would have to go a long way in either direction.
    fn half_way(&self) -> u32 {
        replicas(self.full.demand / TOLERANCE.sqrt(), self.capacity).max(self.pressing())
    }

    /// Why, if the demand decides.
    fn reason(&self) -> Reason {
        if self.full.at == self.now {
            return Reason::Demand(self.full.driver);
        }
        let seconds_ago = self.now.saturating_sub(self.full.at).as_secs_f64();
        Reason::Peak { driver: self.full.driver, seconds_ago }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn choose(spec: &Checked, seen: &Observation, history: &History, needed: &Needed) -> (u32, Reason) {
    if let Some(fixed) = spec.fixed_replicas {
        return (fixed, Reason::Pinned);
    }
    let there = seen.replicas.wanted;
    // Within the tolerance what is there is enough, and not too much.
    let enough = there.clamp(needed.pressing(), needed.full());
    let wanted = if enough > there { needed.half_way() } else { enough };
    let mut floor = Floor(wanted, needed.reason());
    let lead = SignedDuration::try_from(seen.start_takes.min(LONGEST_LEAD)).unwrap_or_default();
    for window in spec.schedule.iter().filter(|window| window.open(seen.at.civil, lead)) {
        floor.raise(window.replicas, || Reason::Schedule { window: window.name.clone() });
    }
    floor.raise(spec.min, || Reason::Minimum);
    if seen.all_seen() {
        let missing = floor.0.min(spec.max).saturating_sub(seen.replicas.ready);
        if missing > 1 {
            let twice = floor.0.saturating_add((f64::from(missing) * EXTRA) as u32);
            floor.raise(twice.min(spec.max), || Reason::Starting { missing });
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
