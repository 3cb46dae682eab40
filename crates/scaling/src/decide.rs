//! The decision itself.

use std::time::Duration;

use jiff::SignedDuration;

use crate::decision::{Decision, Driver, Reason};
use crate::history::{History, Peak};
use crate::observation::{Observation, Stage};
use crate::spec::{Checked, Fallback};

/// So much has to be free, of the capacity, after a replica is taken away: less, and noise would soon ask for it again.
const MARGIN: f64 = 1.1;
/// A forecast looks ahead at most so far: what trends of two minutes can carry.
const LONGEST_LEAD: Duration = Duration::from_secs(600);
/// A stage is a bottleneck once what is at it takes so long, in seconds. Less is work, not waiting.
const WAITING: f64 = 0.1;

/// How many replicas there are to be now. The same spec, observation and history give the same decision and the same
/// history after it. Observations are to be told about once a second, in the order of their time.
pub fn decide(spec: &Checked, seen: &Observation, history: &mut History) -> Decision {
    history.note(seen, spec.expected_scans_per_second);
    let capacity = history.capacity.per_replica(spec.expected_scans_per_second);
    let now = Peak { at: seen.at.since_start, ..demand(spec, seen, history) };
    let peak = history.peak(now, spec.scale_down_after);
    let needed = Needed { peak, now, capacity };
    let (replicas, reason) = choose(spec, seen, history, &needed);
    history.decided = Some(replicas);
    Decision {
        replicas,
        reason,
        demand: now.demand,
        capacity,
        backlog: seen.backlog(Stage::Inference),
        seconds_to_miss: seconds_to_miss(seen, history, capacity),
        bottleneck: bottleneck(seen, history),
    }
}

/// The largest part of the demand, in scans a second.
fn demand(spec: &Checked, seen: &Observation, history: &History) -> Peak {
    let arrivals = &history.arrivals;
    let rate = arrivals.rate();
    let mut largest = (rate * spec.headroom, Driver::Rate { rate });
    let mut offer = |demand: f64, driver| {
        if demand > largest.0 {
            largest = (demand, driver);
        }
    };
    if let Some(surge) = arrivals.surge() {
        let driver = Driver::Surge { before: surge.before, rate: surge.rate, seconds: surge.seconds };
        offer(surge.rate * spec.headroom, driver);
    }
    let seconds = seen.start_takes.min(LONGEST_LEAD).as_secs_f64();
    if let Some((now, ahead)) = arrivals.ahead(seconds) {
        offer(ahead * spec.headroom, Driver::Trend { rate: now, ahead, seconds });
    }
    let drain = spec.target_drain.as_secs_f64();
    let burst = arrivals.burst(drain);
    offer(burst.demand, Driver::Burst { scans: burst.scans, seconds: burst.seconds });
    // While replicas are on their way a queue says nothing that the rate does not; and what came within the drain target
    // is in the rate and in the burst already.
    if seen.replicas.starting == 0 {
        let waiting = seen.backlog(Stage::Inference);
        let overdue = (waiting as f64 - arrivals.within(drain)).max(0.0);
        offer(rate + overdue / drain, Driver::Backlog { waiting });
    }
    Peak { at: Duration::ZERO, demand: largest.0, driver: largest.1 }
}

/// What the demand asks for.
struct Needed {
    now: Peak,
    peak: Peak,
    capacity: f64,
}

impl Needed {
    /// The fewest replicas for the peak.
    fn least(&self) -> u32 {
        replicas(self.peak.demand, self.capacity)
    }

    /// So many are not too many.
    fn most(&self) -> u32 {
        replicas(self.peak.demand * MARGIN, self.capacity)
    }

    /// Why, if the demand decides.
    fn reason(&self) -> Reason {
        if self.peak.at == self.now.at {
            return Reason::Demand(self.peak.driver);
        }
        let seconds_ago = self.now.at.saturating_sub(self.peak.at).as_secs_f64();
        Reason::Peak { driver: self.peak.driver, seconds_ago }
    }
}

fn choose(spec: &Checked, seen: &Observation, history: &History, needed: &Needed) -> (u32, Reason) {
    if let Some(fixed) = spec.fixed_replicas {
        return (fixed, Reason::Pinned);
    }
    let mut floor = Floor(needed.least(), needed.reason());
    let lead = SignedDuration::try_from(seen.start_takes.min(LONGEST_LEAD)).unwrap_or_default();
    for window in spec.schedule.iter().filter(|window| window.open(seen.at.civil, lead)) {
        floor.raise(window.replicas, || Reason::Schedule { window: window.name.clone() });
    }
    floor.raise(spec.min, || Reason::Minimum);
    let there = seen.replicas.wanted;
    if seen.all_seen() {
        let most = needed.most().max(floor.0);
        let learned = seen.at.since_start.saturating_sub(history.seen_since.unwrap_or(seen.at.since_start));
        if there <= most {
            floor.raise(there, || Reason::Margin);
        } else if learned < spec.scale_down_after {
            let seconds_left = (spec.scale_down_after - learned).as_secs_f64();
            floor.raise(there, || Reason::Learning { seconds_left });
        } else {
            floor.raise(most, || Reason::Margin);
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
