//! The balancer in single situations that deserve a name.

use std::time::Duration;

use super::world::{Asked, Outcome, World};
use crate::balance::{Credit, End, Ending, ReplicaId};
use crate::{Phase, PoolConfig};

const WIDE: Credit = Credit { messages: 10, bytes: 10_000 };
const CALL: Asked = Asked { bytes: 100, deadline: None, poison: false };

fn world(replicas: usize) -> (World, Vec<ReplicaId>) {
    let mut world = World::new(PoolConfig::default());
    let ids: Vec<_> = (0..replicas).map(|_| world.add()).collect();
    for id in &ids {
        world.connect(*id, WIDE);
    }
    (world, ids)
}

fn load(world: &World, ids: &[ReplicaId]) -> Vec<usize> {
    ids.iter().map(|id| world.servers[id].inbox.len()).collect()
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn work_goes_to_the_replica_with_the_fewest_bytes() {
    let (mut world, ids) = world(2);
    world.submit(Asked { bytes: 1_000, ..CALL });
    (0..5).for_each(|_| {
        world.submit(CALL);
    });
    assert_eq!(load(&world, &ids), [1, 5]);
}

#[test]
fn equal_replicas_take_turns() {
    let (mut world, ids) = world(3);
    for _ in 0..6 {
        world.submit(CALL);
        ids.iter().for_each(|id| world.answer(*id, 0));
    }
    let used: Vec<_> = ids.iter().map(|id| world.balancer.replicas[id].used).collect();
    assert!(used.iter().max().unwrap() - used.iter().min().unwrap() < 8, "{used:?}");
}

#[test]
fn the_earliest_deadline_goes_first_and_none_goes_last() {
    let mut world = World::new(PoolConfig::default());
    let id = world.add();
    let never = world.submit(CALL);
    let late = world.submit(Asked { deadline: Some(world.now + millis(900)), ..CALL });
    let soon = world.submit(Asked { deadline: Some(world.now + millis(100)), ..CALL });
    world.connect(id, WIDE);
    let order: Vec<_> = world.servers[&id].inbox.iter().map(|received| received.call).collect();
    assert_eq!(order, [soon, late, never]);
}

#[test]
fn a_call_whose_time_is_over_leaves_at_once_and_its_replica_stays_charged() {
    let (mut world, ids) = world(1);
    let sent = world.submit(Asked { deadline: Some(world.now + millis(50)), ..CALL });
    world.advance(millis(49));
    assert_eq!(world.outcomes.get(&sent), None);
    world.advance(millis(1));
    assert_eq!(world.outcomes[&sent], Outcome::Ended(End::Expired));
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().messages, 1);
    world.answer(ids[0], 0);
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().messages, 0);
}

#[test]
fn a_call_that_expires_before_it_was_written_costs_the_replica_nothing() {
    let (mut world, ids) = world(1);
    world.servers.get_mut(&ids[0]).unwrap().stalled = true;
    let call = world.submit(Asked { deadline: Some(world.now + millis(50)), ..CALL });
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().messages, 1, "promised");
    world.advance(millis(50));
    assert_eq!(world.outcomes[&call], Outcome::Ended(End::Expired));
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().messages, 0);
}

#[test]
fn a_slow_replica_gets_nothing_new_while_another_is_fast() {
    let (mut world, ids) = world(2);
    world.submit(CALL);
    world.submit(CALL);
    world.answer(ids[1], 0);
    world.advance(millis(500));
    (0..5).for_each(|_| {
        world.submit(CALL);
    });
    assert_eq!(load(&world, &ids), [1, 5]);
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().phase, Phase::Slow);
    world.advance(millis(500));
    (0..5).for_each(|_| {
        world.submit(CALL);
    });
    assert_eq!(load(&world, &ids), [5, 6], "both are slow now");
}

#[test]
fn a_replica_that_answers_errors_quickly_attracts_no_work() {
    let (mut world, ids) = world(2);
    let mut failed = 0;
    for _ in 0..100 {
        world.submit(CALL);
        while !world.servers[&ids[0]].inbox.is_empty() {
            world.fail(ids[0], 0, tonic::Code::Internal, true);
            failed += 1;
        }
        world.answer(ids[1], 0);
    }
    assert_eq!(failed, 5);
    assert!(world.outcomes.values().all(|outcome| *outcome == Outcome::Answered));
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().phase, Phase::Ejected);
    world.advance(millis(1_000));
    (0..3).for_each(|_| {
        world.submit(CALL);
    });
    assert_eq!(load(&world, &ids)[0], 1, "one call to try");
    world.answer(ids[0], 0);
    assert_eq!(world.balancer.snapshot(ids[0], world.now).unwrap().phase, Phase::Ready);
}

#[test]
fn failures_of_calls_are_not_failures_of_replicas() {
    let (mut world, ids) = world(2);
    for _ in 0..50 {
        world.submit(CALL);
        ids.iter().for_each(|id| world.fail(*id, 0, tonic::Code::InvalidArgument, false));
    }
    assert!(ids.iter().all(|id| world.balancer.snapshot(*id, world.now).unwrap().phase == Phase::Ready));
}

#[test]
fn a_retryable_failure_goes_elsewhere_and_is_passed_on_the_third_time() {
    let (mut world, ids) = world(3);
    let call = world.submit(CALL);
    let mut seen = Vec::new();
    while let Some(id) = ids.iter().find(|id| !world.servers[id].inbox.is_empty()) {
        seen.push(*id);
        world.fail(*id, 0, tonic::Code::ResourceExhausted, true);
    }
    assert_eq!(seen.len(), 3);
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    let end = Outcome::Ended(End::Failed {
        replica: seen[2],
        code: tonic::Code::ResourceExhausted,
        message: String::new(),
    });
    assert_eq!(world.outcomes[&call], end);
}

#[test]
fn a_failed_call_goes_elsewhere_even_to_a_busier_replica() {
    let (mut world, ids) = world(2);
    let first = world.submit(Asked { bytes: 10, ..CALL });
    world.submit(Asked { bytes: 5_000, ..CALL });
    assert_eq!(world.servers[&ids[0]].inbox[0].call, first);
    world.fail(ids[0], 0, tonic::Code::Internal, true);
    assert_eq!(load(&world, &ids), [0, 2]);
}

#[test]
fn no_more_than_half_are_ejected_and_the_first_stays_so() {
    let (mut world, ids) = world(2);
    for id in [ids[0], ids[1]] {
        for _ in 0..5 {
            world.submit(CALL);
            while world.servers[&id].inbox.is_empty() {
                world.submit(CALL);
            }
            while !world.servers[&id].inbox.is_empty() {
                world.fail(id, 0, tonic::Code::Internal, false);
            }
        }
    }
    let phases: Vec<_> =
        ids.iter().map(|id| world.balancer.snapshot(*id, world.now).unwrap().phase).collect();
    assert_eq!(phases, [Phase::Ejected, Phase::Ready]);
}

/// Both have credit for two; the first is ejected, the second is full, and two calls wait.
fn one_ejected_one_full() -> (World, [ReplicaId; 2]) {
    let mut world = World::new(PoolConfig::default());
    let ids = [world.add(), world.add()];
    ids.iter().for_each(|id| world.connect(*id, Credit { messages: 2, ..WIDE }));
    while world.balancer.snapshot(ids[0], world.now).unwrap().phase != Phase::Ejected {
        world.submit(CALL);
        world.fail(ids[0], 0, tonic::Code::Internal, true);
        world.answer(ids[1], 0);
    }
    while world.balancer.queued().0 < 2 {
        world.submit(CALL);
    }
    (world, ids)
}

#[test]
fn a_replica_on_trial_gets_one_call_however_many_wait() {
    let (mut world, ids) = one_ejected_one_full();
    assert_eq!(load(&world, &ids), [0, 2]);
    world.advance(millis(1_000));
    assert_eq!(load(&world, &ids), [1, 2]);
    world.answer(ids[0], 0);
    assert_eq!(load(&world, &ids), [1, 2], "it is trusted again");
    assert_eq!(world.balancer.queued().0, 0);
}

#[test]
fn when_the_last_fast_replica_turns_slow_the_slow_ones_are_used_without_any_other_event() {
    let mut world = World::new(PoolConfig::default());
    let ids = [world.add(), world.add()];
    ids.iter().for_each(|id| world.connect(*id, Credit { messages: 2, ..WIDE }));
    world.submit(CALL);
    world.advance(millis(500));
    (0..3).for_each(|_| {
        world.submit(CALL);
    });
    assert_eq!((load(&world, &ids), world.balancer.queued().0), (vec![1, 2], 1), "the first is slow");
    world.advance(millis(500));
    assert_eq!((load(&world, &ids), world.balancer.queued().0), (vec![2, 2], 0), "both are");
}

#[test]
fn a_call_given_up_before_it_was_written_makes_room_at_once() {
    let mut world = World::new(PoolConfig::default());
    let id = world.add();
    world.connect(id, Credit { messages: 1, ..WIDE });
    world.servers.get_mut(&id).unwrap().stalled = true;
    let first = world.submit(CALL);
    let second = world.submit(CALL);
    assert_eq!(world.balancer.queued().0, 1);
    world.cancel(first);
    assert_eq!(world.balancer.queued().0, 0, "the second is promised now");
    world.servers.get_mut(&id).unwrap().stalled = false;
    world.run_until_idle();
    assert_eq!(world.servers[&id].inbox[0].call, second);
}

#[test]
fn a_late_timer_sends_nothing_that_is_over() {
    let (mut world, ids) = world(1);
    world.servers.get_mut(&ids[0]).unwrap().stalled = true;
    let over = world.submit(Asked { deadline: Some(world.now + millis(10)), ..CALL });
    let next = world.submit(CALL);
    // No tick: the stream asks before the timer fires.
    world.now += millis(10);
    world.servers.get_mut(&ids[0]).unwrap().stalled = false;
    world.run_until_idle();
    assert_eq!(world.outcomes[&over], Outcome::Ended(End::Expired));
    let got: Vec<_> = world.servers[&ids[0]].inbox.iter().map(|received| received.call).collect();
    assert_eq!(got, [next]);
}

#[test]
fn a_draining_replica_finishes_what_it_has_and_is_half_closed() {
    let (mut world, ids) = world(2);
    world.submit(CALL);
    world.submit(CALL);
    world.drain(ids[0]);
    (0..4).for_each(|_| {
        world.submit(CALL);
    });
    assert_eq!(load(&world, &ids), [1, 5]);
    assert!(!world.servers[&ids[0]].half_closed);
    world.answer(ids[0], 0);
    assert!(world.servers[&ids[0]].half_closed);
}

#[test]
fn what_was_not_written_to_a_dead_replica_is_no_suspect() {
    let (mut world, ids) = world(1);
    let written = world.submit(CALL);
    world.servers.get_mut(&ids[0]).unwrap().stalled = true;
    let promised = world.submit(CALL);
    world.end_stream(ids[0], Ending::Died);
    world.connect(ids[0], WIDE);
    let alone = |call| world.servers[&ids[0]].inbox.iter().find(|r| r.call == call).unwrap().alone;
    assert!(alone(written) && !alone(promised));
}

#[test]
fn a_stream_that_ends_in_good_order_makes_no_suspects_but_not_for_ever() {
    let (mut world, ids) = world(1);
    let call = world.submit(CALL);
    for _ in 0..8 {
        world.end_stream(ids[0], Ending::Orderly);
        world.connect(ids[0], WIDE);
        assert!(!world.servers[&ids[0]].inbox[0].alone);
    }
    world.end_stream(ids[0], Ending::Orderly);
    assert!(matches!(
        world.outcomes[&call],
        Outcome::Ended(End::Failed { code: tonic::Code::Unavailable, .. })
    ));
}

#[test]
fn suspects_go_one_at_a_time_and_others_overtake_them() {
    let (mut world, ids) = world(1);
    (0..4).for_each(|_| {
        world.submit(CALL);
    });
    world.end_stream(ids[0], Ending::Died);
    (0..4).for_each(|_| {
        world.submit(CALL);
    });
    world.connect(ids[0], WIDE);
    assert_eq!(load(&world, &ids), [5], "one suspect and the four new ones");
}

#[test]
fn a_large_call_is_not_overtaken_for_ever() {
    let mut world = World::new(PoolConfig::default());
    let id = world.add();
    world.connect(id, Credit { messages: 4, bytes: 400 });
    (0..4).for_each(|_| {
        world.submit(CALL);
    });
    let large = world.submit(Asked { bytes: 900, ..CALL });
    for _ in 0..4 {
        world.submit(CALL);
        assert!(!world.outcomes.contains_key(&large));
        world.answer(id, 0);
    }
    assert_eq!(world.servers[&id].inbox[0].call, large);
    assert_eq!(load(&world, &[id]), [1]);
}

#[test]
fn a_pool_that_closes_finishes_what_it_has() {
    let (mut world, ids) = world(2);
    let call = world.submit(CALL);
    world.balancer.close(world.now);
    world.run_until_idle();
    assert!(ids.iter().all(|id| !world.servers[id].half_closed));
    assert!(world.balancer.submit(9, 1, None, world.now).is_err());
    ids.iter().for_each(|id| world.answer(*id, 0));
    assert_eq!(world.outcomes[&call], Outcome::Answered);
    assert!(ids.iter().all(|id| world.servers[id].half_closed));
}
