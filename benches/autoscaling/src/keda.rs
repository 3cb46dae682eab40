//! KEDA and the HorizontalPodAutoscaler, as their sources have it.
//!
//! KEDA makes an HPA with one external metric for each trigger and answers the HPA's questions; between 1 and the maximum
//! it is the HPA that decides. Modelled from `pkg/controller/podautoscaler` of Kubernetes (`horizontal.go`,
//! `replica_calculator.go`; the rules of `behavior` are in `horizontal.go` too) and `pkg/scaling` of KEDA:
//! - The HPA looks each `--horizontal-pod-autoscaler-sync-period`, 15 s, the first time one period after it was made.
//! - An external metric with an average value wants `ceil(value / target)` replicas, unless `value / (target * replicas)`
//!   is within 10 % of 1. `replicas` are those of the scale subresource: pods that are not ready count. (The HPA's caution
//!   with pods that are not ready is for metrics of pods, such as CPU, and has no part here.)
//! - Of several metrics the largest proposal counts.
//! - Down: the largest proposal of the last 300 s counts. Up: at once, but in one sync at most to 4 or to twice as many,
//!   whichever is more. (So it is without a `behavior`, as KEDA makes the HPA unless told otherwise, and so the real HPA of
//!   Kubernetes 1.37 did: 1, 4, 8, 16, 32, 40. The policies of 4 pods or 100 % in 15 s are the defaults *within* a
//!   `behavior`, and would give 1, 5, 10, 20, 40.)
//! - KEDA asks the source at each question of the HPA, or, with `useCachedMetrics`, each `pollingInterval`, 30 s.

use crate::fleet::CAPACITY;
use crate::ours::APPLY;
use crate::scaler::{Scaler, View};

/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
/// However few there are, so many may be asked for in one sync.
const UP_AT_ONCE: u32 = 4;
/// Scans that may wait for each replica: what it does in the drain target of our own default spec.
const BACKLOG_TARGET: f64 = CAPACITY * 1.5;

/// How KEDA and the HPA are set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// `pollingInterval` with `useCachedMetrics`; None: asked at each sync.
    pub poll: Option<f64>,
    /// The HPA's sync period in seconds.
    pub sync: f64,
    /// Scans a second for each replica: the target of the first trigger.
    pub target: f64,
    /// Over so many seconds the first trigger counts.
    pub window: f64,
    /// `scaleDown.stabilizationWindowSeconds`.
    pub stabilisation: f64,
    /// The default limit upwards, or (tuned, by a policy) none.
    pub limited_up: bool,
    /// Most replicas.
    pub max: u32,
}

impl Settings {
    /// As it comes, but that the metrics are read straight from the gateways, without the lag of Prometheus.
    pub fn stock(target: f64) -> Self {
        Self {
            poll: Some(30.0),
            sync: 15.0,
            target,
            window: 30.0,
            stabilisation: 300.0,
            limited_up: true,
            max: 200,
        }
    }

    /// The same without `useCachedMetrics`: each sync asks.
    pub fn uncached(target: f64) -> Self {
        Self { poll: None, ..Self::stock(target) }
    }

    /// A control plane of one's own: 1 s poll, 2 s sync, no limit upwards.
    pub fn tuned(target: f64) -> Self {
        Self { poll: Some(1.0), sync: 2.0, window: 10.0, limited_up: false, ..Self::stock(target) }
    }
}

/// The metrics of the two triggers.
#[derive(Clone, Copy, Debug, Default)]
struct Metrics {
    rate: f64,
    backlog: f64,
}

/// KEDA with its HPA.
#[derive(Clone, Debug)]
pub struct Keda {
    settings: Settings,
    next_poll: f64,
    next_sync: f64,
    polled: Metrics,
    /// Proposals within the stabilisation: when, and how many.
    proposals: Vec<(f64, u32)>,
}

impl Keda {
    /// Poll and sync begin at this share (0 to 1) of their periods.
    pub fn new(settings: Settings, phases: [f64; 2]) -> Self {
        Self {
            settings,
            next_poll: settings.poll.map_or(f64::INFINITY, |poll| poll * phases[0]),
            next_sync: settings.sync * phases[1],
            polled: Metrics::default(),
            proposals: Vec::new(),
        }
    }

    fn metrics(&self, view: &View<'_>) -> Metrics {
        Metrics { rate: view.rate(self.settings.window), backlog: view.seen.backlog as f64 }
    }

    /// The HPA's decision.
    fn sync(&mut self, now: f64, metrics: Metrics, current: u32) -> u32 {
        let proposal = [(metrics.rate, self.settings.target), (metrics.backlog, BACKLOG_TARGET)]
            .into_iter()
            .map(|(value, target)| proposal(value, target, current))
            .max()
            .unwrap_or(current)
            .clamp(1, self.settings.max);
        let stabilisation = self.settings.stabilisation;
        self.proposals.push((now, proposal));
        self.proposals.retain(|&(at, _)| at > now - stabilisation);
        let highest = self.proposals.iter().map(|&(_, proposal)| proposal).max().unwrap_or(proposal);
        if proposal > current {
            let limit = if self.settings.limited_up { (current * 2).max(UP_AT_ONCE) } else { u32::MAX };
            return proposal.min(limit);
        }
        // Down no further than the highest proposal, and not up by it either.
        highest.min(current)
    }
}

impl Scaler for Keda {
    fn next(&self) -> f64 {
        self.next_poll.min(self.next_sync)
    }

    fn look(&mut self, view: &View<'_>) -> Option<u32> {
        if view.now >= self.next_poll {
            self.polled = self.metrics(view);
            self.next_poll += self.settings.poll.unwrap_or(f64::INFINITY);
            // The first answer is there before the first question.
            if view.now < self.next_sync {
                return None;
            }
        }
        self.next_sync += self.settings.sync;
        let fresh = self.settings.poll.is_none();
        let metrics = if fresh { self.metrics(view) } else { self.polled };
        let wanted = self.sync(view.now, metrics, view.seen.wanted);
        (wanted != view.seen.wanted).then_some(wanted)
    }

    fn takes(&self) -> f64 {
        APPLY
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn proposal(value: f64, target: f64, current: u32) -> u32 {
    let ratio = value / (target * f64::from(current.max(1)));
    if (1.0 - ratio).abs() <= TOLERANCE { current } else { (value / target).ceil() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keda(settings: Settings) -> Keda {
        Keda::new(settings, [0.0, 0.0])
    }

    fn rate(rate: f64) -> Metrics {
        Metrics { rate, backlog: 0.0 }
    }

    #[test]
    fn within_a_tenth_nothing_changes() {
        let mut keda = keda(Settings::stock(40.0));
        assert_eq!(keda.sync(0.0, rate(400.0 * 1.09), 10), 10);
        assert_eq!(keda.sync(15.0, rate(400.0 * 1.11), 10), 12);
    }

    #[test]
    fn up_goes_to_four_and_then_to_twice_as_many_in_each_sync() {
        let mut keda = keda(Settings::stock(10.0));
        let mut replicas = 1;
        let steps: Vec<u32> = (0..6)
            .map(|n| {
                replicas = keda.sync(f64::from(n) * 15.0, rate(400.0), replicas);
                replicas
            })
            .collect();
        assert_eq!(steps, [4, 8, 16, 32, 40, 40]);
    }

    #[test]
    fn down_goes_after_300_s_of_lower_proposals() {
        let mut keda = keda(Settings::stock(10.0));
        assert_eq!(keda.sync(0.0, rate(300.0), 30), 30);
        for n in 1..20 {
            assert_eq!(keda.sync(f64::from(n) * 15.0, rate(50.0), 30), 30);
        }
        assert_eq!(keda.sync(300.0, rate(50.0), 30), 5);
    }
}
