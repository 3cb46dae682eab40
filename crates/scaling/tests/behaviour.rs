//! What happens in each situation that a pool meets.

mod common;

use std::time::Duration;

use common::World;
use jiff::civil::time;
use jiff::tz::TimeZone;
use ovomesh_scaling::{Driver, Fallback, Gateway, Reason, Replicas, Spec, Stage, Window};
use rand::SeedableRng as _;
use rand_distr::{Distribution as _, Normal, Uniform};

fn spec() -> Spec {
    Spec { max: 100, ..Spec::default() }
}

#[test]
fn steady_load_gets_its_rate_times_the_headroom() {
    let mut world = World::new(spec(), 2);
    let decision = world.steady(400, 200.0);
    assert_eq!(decision.replicas, 5, "200/s x 1.25 / 50/s");
    assert_eq!(decision.reason, Reason::Demand(Driver::Rate { rate: 200.0 }));
    assert_eq!(decision.seconds_to_miss, None);
}

#[test]
fn a_surge_is_answered_in_full_after_two_seconds() {
    let mut world = World::new(spec(), 2);
    world.steady(400, 30.0);
    let first = world.second(300.0);
    assert_eq!(first.replicas, 5 + 4, "330 in two seconds; four are missing, so four more start");
    assert_eq!(first.reason, Reason::Starting { missing: 4 });
    let decision = world.second(300.0);
    assert_eq!(decision.replicas, 8, "300/s x 1.25 / 50/s");
    let text = decision.reason.to_string();
    assert_eq!(text, "300.0 scans/s came in the last 2 s, 30.0/s before");
}

#[test]
fn nothing_is_taken_away_before_the_stabilisation_is_over() {
    let mut world = World::new(spec(), 2);
    assert_eq!(world.steady(400, 300.0).replicas, 8, "300/s x 1.25 / 50/s");
    for second in 0..290 {
        let decision = world.second(30.0);
        assert_eq!(decision.replicas, 8, "{second} s after");
        assert!(second < 60 || matches!(decision.reason, Reason::Peak { .. }), "{:?}", decision.reason);
    }
    assert_eq!(world.steady(120, 30.0).replicas, 1);
}

#[test]
fn a_tray_holds_the_replicas_for_the_next_one() {
    let mut world = World::new(spec(), 1);
    let mut last = 0;
    for second in 0..1_200 {
        let decision = world.second(if second % 22 == 0 { 150.0 } else { 0.0 });
        assert!(second < 600 || decision.replicas == last, "no change once it is known");
        last = decision.replicas;
    }
    assert_eq!(last, 3, "150 scans in 1.5 s, x 1.25, at 50/s each");
}

#[test]
fn noise_of_a_fifth_changes_nothing() {
    // That of each second by itself, and jams that last for ten.
    let normal = Normal::new(0.0, 0.2).expect("a distribution");
    let even = Uniform::new(-0.2, 0.2).expect("a distribution");
    for (seed, rate) in
        [20.0, 79.0, 81.0, 100.0, 204.0, 236.0, 324.0, 333.0, 436.0, 500.0].into_iter().enumerate()
    {
        for hold in [1, 10] {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed as u64);
            let mut world = World::new(spec(), 2);
            let (mut changes, mut last, mut factor) = (0, 0, 1.0);
            let hours = 2;
            for second in 0..(600 + hours * 3_600) {
                if second % hold == 0 {
                    factor =
                        1.0 + if hold == 1 { normal.sample(&mut random) } else { even.sample(&mut random) };
                }
                let decision = world.second(rate * factor);
                changes += u32::from(second >= 600 && decision.replicas != last);
                last = decision.replicas;
            }
            assert!(
                changes <= 2 * hours,
                "{changes} changes in {hours} h at {rate}/s, noise of {hold} s, {last}"
            );
        }
    }
}

#[test]
fn a_morning_is_met_by_replicas_that_are_ready_when_it_comes() {
    let mut world = World::new(spec(), 2);
    world.steady(400, 50.0);
    for second in 0..400_u32 {
        let decision = world.second(50.0 + f64::from(second) * 0.5);
        if second > 130 {
            let ahead = 50.0 + f64::from(second + 50) * 0.5;
            assert!(
                f64::from(decision.replicas) * common::CAPACITY >= ahead,
                "{second} s: {} for {ahead}/s",
                decision.replicas
            );
        }
    }
}

#[test]
fn with_half_of_the_gateways_unseen_it_only_goes_up() {
    let mut world = World::new(spec(), 4);
    world.steady(400, 300.0);
    let hidden = world.observation.gateways.split_off(2);
    for _ in 0..1_000 {
        // The two that are seen have a tenth of what they had.
        let decision = world.second(30.0);
        assert_eq!(decision.replicas, 8);
    }
    let decision = world.decide();
    assert_eq!(decision.reason.to_string(), "only 2 of 4 gateways are seen: nothing is taken away");
    assert_eq!(world.steady(3, 1_000.0).replicas, 13, "500/s at the two that are seen");
    // Seen again, it takes the whole stabilisation before anything is taken away.
    world.observation.gateways.extend(hidden);
    assert_eq!(world.steady(299, 300.0).replicas, 13);
    assert_eq!(world.steady(120, 300.0).replicas, 8, "300/s x 1.25 / 50/s");
}

#[test]
fn without_any_gateway_it_holds_or_falls_back_upwards() {
    for (fallback, after) in [(Fallback::Hold, 8), (Fallback::AtLeast(20), 20), (Fallback::AtLeast(2), 8)] {
        let mut world = World::new(Spec { fallback, ..spec() }, 2);
        world.steady(400, 300.0);
        world.observation.gateways.clear();
        let decision = world.steady(4_000, 0.0);
        assert_eq!((decision.replicas, decision.reason.word()), (after, "GatewaysUnseen"));
        // A Deployment that somebody made smaller meanwhile gets back what it had.
        world.observation.replicas = Replicas { wanted: 1, ready: 1, starting: 0 };
        assert!(world.second(0.0).replicas >= after);
    }
}

#[test]
fn an_operator_that_starts_takes_nothing_away_until_it_knows() {
    let mut world = World::new(spec(), 2);
    world.observation.replicas = Replicas { wanted: 12, ready: 12, starting: 0 };
    for _ in 0..300 {
        let decision = world.second(30.0);
        assert_eq!((decision.replicas, decision.reason.word()), (12, "Learning"));
    }
    assert_eq!(world.steady(2, 30.0).replicas, 1);
}

#[test]
fn a_gateway_that_comes_back_is_no_surge_and_one_that_restarts_no_lull() {
    let mut world = World::new(spec(), 2);
    world.steady(400, 190.0);
    let away = world.observation.gateways.pop().expect("there are two");
    world.steady(60, 190.0);
    let arrived = away.arrived + 5_795;
    world.observation.gateways.push(Gateway { arrived, ..away });
    let decision = world.second(190.0);
    assert_eq!(decision.replicas, 5, "{decision:?}");
    world.observation.gateways[0].arrived = 0;
    for _ in 0..60 {
        let decision = world.second(190.0);
        assert_eq!(decision.replicas, 5, "{decision:?}");
    }
}

#[test]
fn replicas_that_crash_do_not_lower_the_target() {
    let mut world = World::new(spec(), 2);
    world.steady(400, 200.0);
    world.observation.replicas = Replicas { wanted: 5, ready: 2, starting: 3 };
    world.pass(200.0);
    for gateway in &mut world.observation.gateways {
        gateway.stages[Stage::Inference].backlog = 100;
    }
    let decision = world.decide();
    assert_eq!(
        decision.replicas, 8,
        "the three that start anew, and three more: the first that are ready stay"
    );
    // 200/s come, 100/s get through, and 200 wait already: the budget of 2 s is used up.
    assert_eq!(decision.seconds_to_miss, Some(0.0));
}

#[test]
fn replicas_that_start_are_ordered_twice_within_the_maximum_and_taken_back() {
    let mut world = World::new(Spec { max: 11, ..spec() }, 2);
    world.steady(400, 50.0);
    let mut ready = |ready: u32| {
        let wanted = world.observation.replicas.wanted;
        world.observation.replicas = Replicas { wanted, ready, starting: wanted.saturating_sub(ready) };
        world.second(300.0)
    };
    (0..3).for_each(|_| drop(ready(2)));
    let ordered = ready(2);
    assert_eq!((ordered.replicas, ordered.reason), (11, Reason::Starting { missing: 6 }));
    assert_eq!(ready(5).replicas, 11);
    assert_eq!(ready(6).replicas, 11, "whichever are ready first stay");
    assert_eq!(ready(7).replicas, 8, "one that is missing is what the headroom is for");
    assert_eq!(ready(10).replicas, 8);
}

#[test]
fn one_that_is_missing_is_ordered_twice_for_a_burst_alone() {
    let mut world = World::new(spec(), 2);
    assert_eq!(world.steady(400, 36.0).replicas, 1);
    let mut grown = world.clone();
    let most = (0..60).map(|_| {
        let wanted = grown.observation.replicas.wanted;
        grown.observation.replicas = Replicas { wanted, ready: 1, starting: wanted - 1 };
        grown.second(46.0).replicas
    });
    assert_eq!(most.max(), Some(2), "46/s x 1.25");
    let tray = world.second(110.0);
    assert_eq!((tray.replicas, tray.reason), (3, Reason::Starting { missing: 1 }));
}

#[test]
fn a_backlog_beside_a_burst_never_means_fewer_replicas() {
    let small = Spec { min: 0, headroom: 1.0, ..spec() };
    let mut world = World::new(Spec { max: 3, scale_down_after: Duration::from_secs(10), ..small }, 3);
    world.second(0.0);
    world.pass(100.0);
    let with = |backlog| {
        let mut world = world.clone();
        world.observation.gateways[0].stages[Stage::Inference].backlog = backlog;
        world.decide()
    };
    let (burst, more) = (with(0), with(184));
    assert!(matches!(more.reason, Reason::Starting { .. }), "{more:?}");
    assert!(more.demand > burst.demand && more.replicas >= burst.replicas, "{burst:?}\n{more:?}");
}

#[test]
fn a_deployment_that_is_edited_by_hand_is_put_right() {
    let mut world = World::new(spec(), 2);
    world.steady(400, 200.0);
    for wanted in [0, 1, 4, 30] {
        world.observation.replicas = Replicas { wanted, ready: wanted, starting: 0 };
        assert_eq!(world.steady(2, 200.0).replicas, 5, "{wanted} was set");
    }
}

#[test]
fn a_pin_is_kept_whatever_comes_and_ends_at_once() {
    let pinned = Spec { fixed_replicas: Some(0), ..spec() };
    let mut world = World::new(pinned, 2);
    let decision = world.steady(400, 200.0);
    assert_eq!((decision.replicas, decision.reason), (0, Reason::Pinned));
    world.spec = spec().check().expect("it holds");
    assert_eq!(world.steady(2, 200.0).replicas, 5);
}

#[test]
fn a_window_of_the_schedule_is_met_before_it_opens_even_unseen() {
    let window = Window {
        name: "shift".to_owned(),
        from: time(0, 10, 0, 0),
        to: time(1, 0, 0, 0),
        days: Vec::new(),
        time_zone: TimeZone::UTC,
        replicas: 6,
    };
    let mut world = World::new(Spec { schedule: vec![window], ..spec() }, 2);
    // The world begins at midnight, and a replica takes 60 s.
    assert_eq!(world.steady(539, 10.0).replicas, 1);
    world.observation.gateways.clear();
    let decision = world.second(10.0);
    assert_eq!((decision.replicas, decision.reason.word()), (6, "Schedule"));
}

#[test]
fn a_slow_store_is_the_bottleneck_and_asks_for_no_gpu() {
    let mut world = World::new(spec(), 2);
    world.steady(400, 200.0);
    world.pass(200.0);
    for gateway in &mut world.observation.gateways {
        gateway.stages[Stage::Store].backlog = 50_000;
    }
    let decision = world.decide();
    assert_eq!((decision.replicas, decision.bottleneck), (5, Some(Stage::Store)));
}

#[test]
fn replicas_that_do_half_of_what_is_expected_are_twice_as_many() {
    let mut world = World::new(
        Spec { expected_scans_per_second: 100.0, scale_down_after: Duration::from_secs(10), ..spec() },
        2,
    );
    world.steady(30, 150.0);
    // 200/s come, two replicas do 50/s each, and what waits is as much as the budget allows.
    for _ in 0..60 {
        world.pass(100.0);
        for gateway in &mut world.observation.gateways {
            gateway.arrived += 50;
            gateway.stages[Stage::Inference].backlog = 100;
        }
        world.observation.replicas.ready = 2;
        world.decide();
    }
    let decision = world.steady(10, 200.0);
    assert!((49.0..55.0).contains(&decision.capacity), "{}", decision.capacity);
    assert!((5..=6).contains(&decision.replicas), "{decision:?}");
}

#[test]
fn more_than_the_maximum_is_said_so() {
    let mut world = World::new(Spec { max: 3, ..spec() }, 2);
    let decision = world.steady(100, 400.0);
    assert_eq!((decision.replicas, decision.reason.word()), (3, "Maximum"));
    assert!(decision.reason.to_string().starts_with("10 are needed"), "{}", decision.reason);
    world.spec = Spec { max: 3, scale_down_after: Duration::ZERO, ..spec() }.check().expect("it holds");
    assert_eq!(world.steady(70, 0.0).replicas, 1);
}
