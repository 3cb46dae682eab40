//! One trace with one autoscaler: events in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::fleet::{Due, Fleet, Starts};
use crate::scaler::{Scaler, View};
use crate::trace::{Trace, WARM_UP};

/// A picture is taken each so many seconds.
const PICTURE_EVERY: f64 = 5.0;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Scans that were counted.
    pub scans: u64,
    /// Scans that were not answered in time.
    pub late: u64,
    /// Hours of pods, from creation to end.
    pub pod_hours: f64,
    /// How often the number of replicas was changed.
    pub changes: u32,
    /// The course of it.
    pub pictures: Vec<Picture>,
}

/// The fleet at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Seconds since counting began.
    pub at: f64,
    /// Scans a second since the last picture.
    pub rate: f64,
    /// Ready replicas.
    pub ready: u32,
    /// Replicas asked for.
    pub wanted: u32,
    /// Late since counting began.
    pub late: u64,
}

/// What happens next, by time and then by the order in which it was planned.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Event {
    at: f64,
    order: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Pod(Due),
    Scale(u32),
    Crash(usize),
}

impl Eq for Event {}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.total_cmp(&other.at).then(self.order.cmp(&other.order))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The events to come.
#[derive(Default)]
struct Agenda {
    events: BinaryHeap<Reverse<Event>>,
    planned: u64,
}

impl Agenda {
    fn plan(&mut self, at: f64, what: What) {
        self.planned += 1;
        self.events.push(Reverse(Event { at, order: self.planned, what }));
    }

    fn next(&self) -> f64 {
        self.events.peek().map_or(f64::INFINITY, |Reverse(event)| event.at)
    }
}

/// Runs a trace from its begin to its end.
pub fn run(trace: &Trace, starts: Starts, scaler: &mut dyn Scaler) -> Outcome {
    let times: Vec<f64> = trace.arrivals.iter().map(|arrival| arrival.at).collect();
    let mut fleet = Fleet::new(starts, scaler.begins_with(trace.replicas), WARM_UP);
    let mut agenda = Agenda::default();
    for &(at, count) in &trace.crashes {
        agenda.plan(at, What::Crash(count));
    }
    let scans = times.len() - times.partition_point(|&at| at < WARM_UP);
    let mut outcome = Outcome { scans: scans as u64, ..Outcome::default() };
    let (mut arrived, mut due, mut picture_at, mut pictured) = (0, Vec::new(), WARM_UP, 0);
    loop {
        let arrival = times.get(arrived).copied().unwrap_or(f64::INFINITY);
        let now = arrival.min(agenda.next()).min(scaler.next()).min(picture_at);
        if now >= trace.end {
            break;
        }
        if now == picture_at {
            let seen = fleet.seen(now);
            let rate = if now > WARM_UP { (arrived - pictured) as f64 / PICTURE_EVERY } else { 0.0 };
            outcome.pictures.push(Picture {
                at: now - WARM_UP,
                rate,
                ready: seen.ready,
                wanted: seen.wanted,
                late: fleet.late,
            });
            (picture_at, pictured) = (picture_at + PICTURE_EVERY, arrived);
        } else if now == agenda.next() {
            let Some(Reverse(event)) = agenda.events.pop() else { break };
            match event.what {
                What::Pod(what) => fleet.happen(now, what, &mut due),
                What::Scale(wanted) => {
                    outcome.changes += u32::from(now >= WARM_UP && wanted != fleet.wanted());
                    fleet.scale(now, wanted, &mut due);
                }
                What::Crash(count) => fleet.crash(now, count, &mut due),
            }
        } else if now == arrival {
            arrived += 1;
            fleet.arrive(now, &mut due);
        } else {
            let view = View { now, seen: fleet.seen(now), arrived: &times[..arrived] };
            if let Some(wanted) = scaler.look(&view) {
                agenda.plan(now + scaler.takes(), What::Scale(wanted));
            }
        }
        for (at, what) in due.drain(..) {
            agenda.plan(at, What::Pod(what));
        }
    }
    fleet.end(trace.end);
    outcome.late = fleet.late;
    outcome.pod_hours = fleet.pod_seconds / 3_600.0;
    outcome
}
