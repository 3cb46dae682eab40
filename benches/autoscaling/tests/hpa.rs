//! The model of the HPA against a real one.
//!
//! Measured on Kubernetes v1.37.2 (kube-controller-manager with its default sync of 15 s, kwok for nodes): four HPAs
//! without a `behavior`, made 3.7 s one after the other, on one external metric with an average value of 10. The metric
//! went from 10 to 400 at 0 s, and 100 s later to 50. Earlier, by itself: one HPA with a sync of 15 s took 12.9 s from the
//! metric to ten ready pods, KEDA 2.21 at a poll of 1 s with a sync of 2 s took 1.2 to 2.4 s.

use ovomesh_autoscaling::fleet::FleetState;
use ovomesh_autoscaling::keda::{Keda, Settings};
use ovomesh_autoscaling::scaler::{Scaler as _, View};

/// When each of the four HPAs asked for 4, 8, 16, 32 and 40 replicas, in seconds.
const MEASURED: [[f64; 5]; 4] = [
    [1.02, 16.01, 31.03, 46.05, 61.11],
    [4.89, 19.90, 35.05, 50.05, 65.03],
    [9.37, 24.38, 39.42, 54.53, 69.59],
    [13.38, 28.33, 43.36, 58.39, 73.40],
];
/// What they asked for.
const STEPS: [u32; 5] = [4, 8, 16, 32, 40];
/// How long after the metric fell to 50 they asked for 5.
const MEASURED_DOWN: [f64; 4] = [291.50, 295.32, 300.12, 289.03];
/// Ready pods after the scale, by kwok: 0.3 to 1.4 s.
const READY: [f64; 2] = [0.3, 1.4];

/// When the model asks for how many, if so many times the target are there from 0 s on. The sync comes first at `phase`.
fn model(settings: Settings, phase: f64, seconds: f64, value: impl Fn(f64) -> f64) -> Vec<(f64, u32)> {
    // The second trigger has a target of its own, 75; the first one sees nothing.
    let mut keda = Keda::new(settings, [0.0, phase / settings.sync]);
    let (mut wanted, mut changes) = (1, Vec::new());
    while keda.next() < seconds {
        let now = keda.next();
        let seen = FleetState { backlog: (value(now) * 75.0) as u64, wanted, ..FleetState::default() };
        if let Some(replicas) = keda.look(&View { now, seen, arrived: &[] }) {
            wanted = replicas;
            changes.push((now + keda.takes(), replicas));
        }
    }
    changes
}

fn within_a_quarter(modelled: f64, measured: f64) {
    assert!((modelled / measured - 1.0).abs() <= 0.25, "{modelled} s in the model, {measured} s measured");
}

#[test]
fn the_model_takes_the_steps_of_the_real_hpa_when_it_took_them() {
    for measured in MEASURED {
        // Where in its period an HPA is cannot be known: the first step tells it, the others are foretold.
        let steps = model(Settings::uncached(1.0), measured[0], 100.0, |_| 40.0);
        assert_eq!(steps.iter().map(|step| step.1).collect::<Vec<_>>(), STEPS);
        for (step, at) in steps.iter().zip(measured).skip(1) {
            within_a_quarter(step.0, at);
        }
    }
}

#[test]
fn the_model_reacts_as_soon_as_the_real_hpa_over_all_phases() {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    for (step, replicas) in STEPS.into_iter().enumerate() {
        let modelled: Vec<f64> = (0..15)
            .map(|phase| {
                let steps = model(Settings::uncached(1.0), f64::from(phase) + 0.5, 100.0, |_| 40.0);
                assert_eq!(steps[step].1, replicas);
                steps[step].0
            })
            .collect();
        within_a_quarter(mean(&modelled), mean(&MEASURED.map(|measured| measured[step])));
    }
}

#[test]
fn the_model_goes_down_when_the_real_hpa_did() {
    for (up, down) in MEASURED.into_iter().zip(MEASURED_DOWN) {
        let fell = 100.0;
        let value = |now| if now < fell { 40.0 } else { 5.0 };
        let steps = model(Settings::uncached(1.0), up[0], 500.0, value);
        let &(at, replicas) = steps.last().expect("it changes");
        assert_eq!((steps.len(), replicas), (STEPS.len() + 1, 5));
        within_a_quarter(at - fell, down);
    }
}

#[test]
fn the_figures_of_single_runs_lie_within_the_phases_of_the_model() {
    let range = |settings: Settings| {
        let at = |phase: f64| model(settings, phase, 60.0, |_| 4.0)[0].0 - 0.5;
        [at(0.0) + READY[0], at(settings.sync * 0.999) + READY[1]]
    };
    let stock = range(Settings::uncached(1.0));
    assert!(stock[0] <= 12.9 && 12.9 <= stock[1], "{stock:?}");
    let tuned = range(Settings::tuned(1.0));
    assert!(tuned[0] <= 1.2 && 2.4 <= tuned[1], "{tuned:?}");
    within_a_quarter(f64::midpoint(tuned[0], tuned[1]), f64::midpoint(1.2, 2.4));
}
