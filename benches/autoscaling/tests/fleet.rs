//! The simulation itself.

use ovomesh_autoscaling::clairvoyant::Clairvoyant;
use ovomesh_autoscaling::fleet::{CAPACITY, Starts};
use ovomesh_autoscaling::ours::Ours;
use ovomesh_autoscaling::run::{Outcome, run};
use ovomesh_autoscaling::scaler::{Fixed, Scaler};
use ovomesh_autoscaling::trace::{self, Trace, WARM_UP};

const STARTS: Starts = Starts { from: 30.0, to: 120.0, seed: 7 };

fn named(name: &str) -> Trace {
    trace::all(3).into_iter().find(|trace| trace.name == name).expect("a trace of this name")
}

fn ours() -> Ours {
    Ours::new(Ours::spec().check().expect("it holds"), STARTS.mean())
}

fn simulate(trace: &Trace, mut scaler: impl Scaler) -> Outcome {
    run(trace, STARTS, &mut scaler)
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let [one, other] = [(); 2].map(|()| simulate(&named("tray-bursts"), ours()));
    assert_eq!((one.late, one.changes), (other.late, other.changes));
    assert_eq!(one.pod_hours.to_bits(), other.pod_hours.to_bits());
}

#[test]
fn a_fixed_pool_does_what_its_batches_allow_and_costs_its_hours() {
    let trace = named("surge");
    let enough = simulate(&trace, Fixed(10));
    assert_eq!((enough.late, enough.changes), (0, 0));
    assert!((enough.pod_hours - 20.0).abs() < 1e-6, "10 pods for two hours are {}", enough.pod_hours);
    // One replica does 50/s of the 300/s of the surge, for 900 s.
    let few = simulate(&trace, Fixed(1));
    let expected = (300.0 - CAPACITY) * 900.0;
    assert!((few.late as f64 / expected - 1.0).abs() < 0.05, "{} late of {expected}", few.late);
}

#[test]
fn who_knows_of_a_surge_beforehand_is_never_late() {
    let trace = named("surge");
    assert_eq!(simulate(&trace, Clairvoyant::new(&trace, STARTS, 1.1, false, true)).late, 0);
    // From its begin on, nothing helps until the first pods are ready.
    let late = simulate(&trace, Clairvoyant::new(&trace, STARTS, 1.1, false, false)).late;
    assert!(late as f64 > (300.0 - 2.0 * CAPACITY) * STARTS.from, "{late}");
}

#[test]
fn a_crash_loses_no_scan() {
    let mut trace = named("pod-crash");
    // All that is there dies twice: what was in work is done by the others later, or is late.
    trace.crashes = vec![(WARM_UP + 100.0, 2), (WARM_UP + 200.0, 2)];
    let outcome = simulate(&trace, Fixed(20));
    assert_eq!(outcome.late, 0);
}

#[test]
fn steady_load_with_noise_changes_the_replicas_at_most_twice_an_hour() {
    let changes: u32 = (0..3)
        .map(|seed| {
            let trace = trace::all(seed).into_iter().next().expect("the first is steady");
            assert_eq!(trace.name, "steady");
            simulate(&trace, ours()).changes
        })
        .sum();
    assert!(changes <= 2 * 3, "{changes} in three hours");
}

#[test]
fn the_specs_of_the_comparison_hold() {
    assert!(Ours::spec().check().is_ok() && Ours::spec_with_schedule().check().is_ok());
}
