//! What holds for all loads.

mod common;

use common::World;
use ovomesh_scaling::{Fallback, PerStage, Replicas, Spec, Stage};
use proptest::prelude::*;

/// Arrivals of some minutes: quiet, even, growing, in bursts.
fn loads() -> impl Strategy<Value = Vec<f64>> {
    let part = (0.0..500.0_f64, -2.0..2.0_f64, 1..30_usize, 1..150_usize);
    proptest::collection::vec(part, 1..5).prop_map(|parts| {
        let mut load = Vec::new();
        for (rate, slope, every, seconds) in parts {
            for second in 0..seconds {
                let rate = (rate + slope * second as f64).max(0.0);
                load.push(if second % every == 0 { (rate * every as f64).round() } else { 0.0 });
            }
        }
        load
    })
}

fn specs() -> impl Strategy<Value = Spec> {
    (0..10_u32, 1..60_u32, 1.0..3.0_f64, 0..600_u64, proptest::option::of(0..10_u32)).prop_map(
        |(min, more, headroom, down, fallback)| Spec {
            min,
            max: min + more,
            headroom,
            scale_down_after: std::time::Duration::from_secs(down),
            fallback: fallback.map_or(Fallback::Hold, |least| Fallback::AtLeast(least.min(min + more))),
            ..Spec::default()
        },
    )
}

/// A world that has seen a load.
fn seen(spec: Spec, load: &[f64]) -> World {
    let mut world = World::new(spec, 3);
    load.iter().for_each(|&scans| drop(world.second(scans)));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bounds_are_kept_whatever_comes(spec in specs(), load in loads(), hidden in 0..4_usize, wanted in 0..200_u32) {
        let mut world = World::new(spec.clone(), 3);
        for (second, &scans) in load.iter().enumerate() {
            if second == load.len() / 2 {
                world.observation.gateways.truncate(3 - hidden);
                world.observation.replicas = Replicas { wanted, ready: 0, starting: wanted };
            }
            let decision = world.second(scans);
            prop_assert!((spec.min..=spec.max).contains(&decision.replicas), "{decision:?}");
            prop_assert!(decision.demand.is_finite() && decision.capacity > 0.0);
            prop_assert!(decision.seconds_to_miss.is_none_or(|seconds| seconds >= 0.0));
            prop_assert!(!decision.reason.to_string().is_empty());
        }
    }

    #[test]
    fn the_same_told_twice_is_decided_alike(spec in specs(), load in loads()) {
        let (mut one, mut other) = (seen(spec.clone(), &load), seen(spec, &load));
        prop_assert_eq!(&one.history, &other.history);
        prop_assert_eq!(one.second(100.0), other.second(100.0));
    }

    #[test]
    fn more_scans_in_the_last_second_never_mean_fewer_replicas(
        spec in specs(), load in loads(), few in 0.0..500.0_f64, more in 0.0..500.0_f64,
    ) {
        let world = seen(spec, &load);
        let (few, more) = (world.clone().second(few), world.clone().second(few + more));
        prop_assert!(few.replicas <= more.replicas && few.demand <= more.demand, "{few:?}\n{more:?}");
    }

    #[test]
    fn twice_the_load_never_means_fewer_replicas(spec in specs(), load in loads(), times in 1..5_u32) {
        // Replicas as expected: what they are measured to do is another input.
        let world = |times: u32| {
            let mut world = World::new(spec.clone(), 3);
            for &scans in &load {
                world.pass(scans * f64::from(times));
                for gateway in &mut world.observation.gateways {
                    gateway.stages = PerStage::default();
                }
                world.decide();
            }
            world.decide()
        };
        let (once, more) = (world(1), world(times));
        prop_assert!(once.replicas <= more.replicas, "{once:?}\n{more:?}");
    }

    #[test]
    fn a_larger_backlog_never_means_fewer_replicas(spec in specs(), load in loads(), few in 0..500_u64, more in 0..5_000_u64) {
        let mut world = seen(spec, &load);
        world.pass(100.0);
        let mut with = |backlog| {
            world.observation.gateways[0].stages[Stage::Inference].backlog = backlog;
            world.clone().decide().replicas
        };
        prop_assert!(with(few) <= with(few + more));
    }

    #[test]
    fn nothing_is_taken_away_by_ignorance(spec in specs(), load in loads(), hidden in 1..=3_usize, after in loads()) {
        let mut world = seen(spec, &load);
        world.observation.gateways.truncate(3 - hidden);
        let mut had = world.observation.replicas.wanted;
        for scans in after {
            let now = world.second(scans).replicas;
            prop_assert!(now >= had, "{had} became {now}");
            had = now;
        }
    }

    #[test]
    fn a_crash_of_replicas_never_lowers_the_target(spec in specs(), load in loads(), left in 0..5_u32, waiting in 0..1_000_u64) {
        let world = seen(spec, &load);
        let wanted = world.observation.replicas.wanted;
        let decide = |ready: u32, backlog| {
            let mut world = world.clone();
            world.pass(100.0);
            world.observation.replicas = Replicas { wanted, ready, starting: wanted - ready };
            world.observation.gateways[0].stages[Stage::Inference].backlog = backlog;
            world.decide().replicas
        };
        prop_assert!(decide(left.min(wanted), waiting) >= decide(wanted, 0));
    }

    #[test]
    fn what_was_taken_away_is_not_put_back_by_an_even_load(rate in 1.0..1_000.0_f64, before in 0.0..1_000.0_f64) {
        let mut world = World::new(Spec { max: 100, ..Spec::default() }, 3);
        world.steady(130, before);
        world.steady(130, rate);
        let mut last = world.observation.replicas.wanted;
        for second in 0..1_000 {
            let now = world.second(rate).replicas;
            prop_assert!(now <= last, "{last} became {now} after {second} s");
            last = now;
        }
    }
}
