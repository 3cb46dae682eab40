//! All traces with all autoscalers, over several seeds, at equal pod-hours.
//!
//! Whoever pays for more pods has fewer late scans, so autoscalers can be compared only at the same cost. Ours runs with
//! the defaults of its spec. For each other the target (scans/s for each replica) is searched at which its pod-hours over
//! all seeds are within 2 % of ours, and of all these the one with the fewest late scans is taken: KEDA with the best
//! target that could have been chosen in hindsight.

use std::ops::Range;
use std::thread;

use ovomesh_scaling::Spec;
use serde::Serialize;

use crate::clairvoyant::Clairvoyant;
use crate::fleet::{CAPACITY, Starts};
use crate::keda::{Keda, Settings};
use crate::ours::Ours;
use crate::run::{Outcome, Picture, run};
use crate::scaler::{Fixed, Scaler};
use crate::trace::{self, Trace};

/// Pod-hours are equal within so much.
const EQUAL: f64 = 0.02;
/// Targets that are tried around the one with equal pod-hours.
const TRIED: i32 = 6;

/// What one autoscaler came to on one trace, over all seeds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sum {
    /// Scans that were not answered in time.
    pub late: u64,
    /// Hours of pods.
    pub pod_hours: f64,
    /// Changes of the number of replicas in an hour.
    pub changes_per_hour: f64,
    /// Scans a second for each replica that were aimed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// The course with the first seed.
    #[serde(skip)]
    pub pictures: Vec<Picture>,
}

/// One trace.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Scans that were counted, over all seeds.
    pub scans: u64,
    /// The operator's decision with the defaults of its spec.
    pub ovomesh: Sum,
    /// The same with a window of the schedule, where the trace has a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ovomesh_scheduled: Option<Sum>,
    /// KEDA with its defaults, at equal pod-hours.
    pub keda: Sum,
    /// The same, asking the gateways at each sync.
    pub keda_uncached: Sum,
    /// 1 s poll, 2 s sync, no limit upwards.
    pub keda_tuned: Sum,
    /// KEDA with its defaults and the target that our headroom stands for.
    pub keda_same_target: Sum,
    /// As many replicas all the time.
    pub fixed: Sum,
    /// The bound: knows all, but no event before it begins.
    pub clairvoyant: Sum,
    /// Knows even that.
    pub prescient: Sum,
}

impl Compared {
    /// Late scans above the bound, as a share of those of another.
    pub fn share_of(&self, other: &Sum) -> Option<f64> {
        let above = |sum: &Sum| sum.late.saturating_sub(self.clairvoyant.late) as f64;
        (above(other) > 0.0).then(|| above(&self.ovomesh) / above(other))
    }
}

/// One draw of a trace.
struct TraceDraw {
    trace: Trace,
    starts: Starts,
    phases: [f64; 2],
}

/// All traces, each with these seeds, or only those whose name contains `only`.
pub fn study(seeds: Range<u64>, starts: [f64; 2], only: Option<&str>) -> Vec<Compared> {
    let mut traces: Vec<Vec<TraceDraw>> = Vec::new();
    for seed in seeds {
        let starts = Starts { from: starts[0], to: starts[1], seed };
        // Where in its period KEDA and the HPA are: spread evenly, not by luck.
        let phases = [0.618, 0.414].map(|step| (seed as f64 * step + 0.5).fract());
        for (n, trace) in trace::all(seed).into_iter().enumerate() {
            if traces.len() <= n {
                traces.push(Vec::new());
            }
            traces[n].push(TraceDraw { trace, starts, phases });
        }
    }
    traces.retain(|draws| {
        draws.first().is_some_and(|draw| only.is_none_or(|only| draw.trace.name.contains(only)))
    });
    thread::scope(|scope| {
        let threads: Vec<_> = traces.iter().map(|draws| scope.spawn(|| compare(draws))).collect();
        threads.into_iter().flat_map(thread::ScopedJoinHandle::join).collect()
    })
}

fn compare(draws: &[TraceDraw]) -> Compared {
    let first = &draws[0].trace;
    let ours = |spec: fn() -> Spec| {
        sum(draws, None, |draw| {
            // The specs of this package hold: a test checks them.
            let spec = spec().check().unwrap_or_else(|error| unreachable!("{error}"));
            Box::new(Ours::new(spec, draw.starts.mean()))
        })
    };
    let ovomesh = ours(Ours::spec);
    let equal = |settings: fn(f64) -> Settings| {
        equal_cost(ovomesh.pod_hours, |target| {
            sum(draws, Some(target), |draw| Box::new(Keda::new(settings(target), draw.phases)))
        })
    };
    let same = CAPACITY / Ours::spec().headroom;
    let hours = draws.iter().map(|draw| draw.trace.end - trace::WARM_UP).sum::<f64>() / 3_600.0;
    let fixed = (ovomesh.pod_hours / hours).round() as u32;
    Compared {
        name: first.name,
        about: first.about,
        scans: draws
            .iter()
            .map(|draw| {
                draw.trace.arrivals.iter().filter(|arrival| arrival.at >= trace::WARM_UP).count() as u64
            })
            .sum(),
        ovomesh_scheduled: (first.name == "morning-ramp").then(|| ours(Ours::spec_with_schedule)),
        keda: equal(Settings::stock),
        keda_uncached: equal(Settings::uncached),
        keda_tuned: equal(Settings::tuned),
        keda_same_target: sum(draws, Some(same), |draw| {
            Box::new(Keda::new(Settings::stock(same), draw.phases))
        }),
        fixed: sum(draws, None, |_| Box::new(Fixed(fixed))),
        clairvoyant: best(draws, ovomesh.pod_hours, false),
        prescient: best(draws, ovomesh.pod_hours, true),
        ovomesh,
    }
}

/// The fewest late scans that somebody who knows has at no more pod-hours: with what is needed, or with more.
fn best(draws: &[TraceDraw], pod_hours: f64, prescient: bool) -> Sum {
    let slacks = [1.0, 1.05, 1.1, 1.15, 1.2, 1.25];
    slacks
        .into_iter()
        .flat_map(|slack| [false, true].map(|twice| (slack, twice)))
        .map(|(slack, twice)| {
            sum(draws, None, |draw| {
                Box::new(Clairvoyant::new(&draw.trace, draw.starts, slack, twice, prescient))
            })
        })
        .filter(|sum| sum.pod_hours <= pod_hours * (1.0 + EQUAL))
        .min_by_key(|sum| sum.late)
        .unwrap_or_default()
}

/// Of all targets with pod-hours within 2 % the one with the fewest late scans; if there is none, the closest.
fn equal_cost(pod_hours: f64, with: impl Fn(f64) -> Sum) -> Sum {
    // A lower target costs more pods, up to what a replica can do: above that the pool is what its queue makes of it.
    let (mut low, mut high) = (CAPACITY * 0.02, CAPACITY);
    for _ in 0..7 {
        let middle = (low * high).sqrt();
        if with(middle).pod_hours > pod_hours { low = middle } else { high = middle }
    }
    let off = |sum: &Sum| (sum.pod_hours / pod_hours - 1.0).abs();
    (-TRIED..=TRIED)
        .map(|step| with(low * 1.01_f64.powi(step)))
        .min_by(|a, b| {
            let key =
                |sum: &Sum| if off(sum) <= EQUAL { (0.0_f64, sum.late as f64) } else { (1.0, off(sum)) };
            let [a, b] = [key(a), key(b)];
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
        .unwrap_or_default()
}

fn sum(draws: &[TraceDraw], target: Option<f64>, scaler: impl Fn(&TraceDraw) -> Box<dyn Scaler>) -> Sum {
    let mut sum = Sum { target, ..Sum::default() };
    let mut hours = 0.0;
    let mut changes = 0;
    for draw in draws {
        let mut scaler = scaler(draw);
        let Outcome { late, pod_hours, changes: changed, pictures, .. } =
            run(&draw.trace, draw.starts, scaler.as_mut());
        sum.late += late;
        sum.pod_hours += pod_hours;
        changes += changed;
        hours += (draw.trace.end - trace::WARM_UP) / 3_600.0;
        if sum.pictures.is_empty() {
            sum.pictures = pictures;
        }
    }
    sum.changes_per_hour = f64::from(changes) / hours;
    sum
}
