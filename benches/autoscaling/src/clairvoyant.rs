//! What could be had at best by somebody who knows what will come.
//!
//! He knows every scan of the future, but for events (a surge, a site that fails, a line that somebody turns on): of such
//! an event he knows all from the moment on in which it begins. His pods take as long to start as those of the others.
//! So what he is late with is what nobody could have prevented, at his pod-hours. (The *prescient* knows the events before
//! they happen, too.)

use ovomesh_scaling::ordered_twice;

use crate::fleet::{BUDGET, CAPACITY, Starts};
use crate::ours::APPLY;
use crate::scaler::{Scaler, View};
use crate::trace::Trace;

/// A batch and the way of its scans in seconds: what of the budget cannot be used for waiting.
const WORK: f64 = 0.4;
/// What a burst asks for is looked at over so many seconds.
const LONGEST_BURST: usize = 20;

/// Somebody who knows.
#[derive(Debug)]
pub struct Clairvoyant {
    /// What is needed in each second, as known from each moment on.
    known: Vec<(f64, Vec<u32>)>,
    starts: Starts,
    looks: u32,
    /// How long a pod that is not needed is kept, in seconds: a start costs as much.
    keeps: f64,
    /// Twice what is missing is ordered, and taken back once enough are ready.
    twice: bool,
}

impl Clairvoyant {
    /// For a trace; with `slack` times what is needed; knowing events beforehand or not.
    pub fn new(trace: &Trace, starts: Starts, slack: f64, twice: bool, prescient: bool) -> Self {
        let mut moments: Vec<f64> = trace.arrivals.iter().map(|arrival| arrival.known_from).collect();
        moments.sort_by(f64::total_cmp);
        moments.dedup();
        if prescient {
            moments = vec![f64::INFINITY];
        }
        let needed = |&moment: &f64| {
            let known = trace.arrivals.iter().filter(|arrival| arrival.known_from <= moment);
            let mut counts = vec![0.0_f64; trace.end.ceil() as usize + 1];
            known.for_each(|arrival| counts[arrival.at as usize] += 1.0);
            (if prescient { 0.0 } else { moment }, needed(&counts, slack))
        };
        Self { known: moments.iter().map(needed).collect(), starts, looks: 0, keeps: starts.to, twice }
    }
}

/// Replicas that are needed in each second, so that what came in the seconds before is in time.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn needed(counts: &[f64], slack: f64) -> Vec<u32> {
    let mut rates = vec![0.0_f64; counts.len()];
    for begin in 0..counts.len() {
        let mut scans = 0.0;
        let end = (begin + LONGEST_BURST).min(counts.len());
        for (n, count) in counts[begin..end].iter().enumerate() {
            scans += count;
            let rate = scans / (n as f64 + BUDGET - WORK);
            for rates in &mut rates[begin..=begin + n] {
                *rates = rate.max(*rates);
            }
        }
    }
    rates.iter().map(|rate| ((rate * slack / CAPACITY).ceil() as u32).max(1)).collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
impl Scaler for Clairvoyant {
    fn next(&self) -> f64 {
        f64::from(self.looks)
    }

    fn look(&mut self, view: &View<'_>) -> Option<u32> {
        self.looks += 1;
        let (_, needed) = self.known.iter().rev().find(|(from, _)| *from <= view.now)?;
        let most = |from: f64, to: f64| {
            let last = needed.len() - 1;
            let [from, to] = [from, to].map(|at| (at.max(0.0) as usize).min(last));
            needed[from..=to].iter().copied().max().unwrap_or(1)
        };
        // All that will be needed before the slowest pod is ready is ordered now.
        let wanted = most(view.now, view.now + self.starts.to + self.takes() + 1.0);
        let wanted = wanted.max(view.seen.ready.min(most(view.now, view.now + self.starts.to + self.keeps)));
        let missing = wanted.saturating_sub(view.seen.ready);
        let wanted =
            if self.twice && missing > 0 { ordered_twice(wanted, missing, view.seen.wanted) } else { wanted };
        (wanted != view.seen.wanted).then_some(wanted)
    }

    fn takes(&self) -> f64 {
        APPLY
    }
}
