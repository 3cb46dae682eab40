//! The balancer against a world that does its worst.

mod laws;
mod plain;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use super::{Credit, End, Ending, ReplicaId};
use crate::PoolConfig;
use world::{Asked, Outcome, World};

/// Something that may happen. Replicas are counted modulo how many there are.
#[derive(Clone, Debug)]
enum Event {
    Submit { bytes: u64, deadline_ms: Option<u64>, poison: bool },
    Cancel(usize),
    Answer { replica: usize, which: usize },
    Fail { replica: usize, which: usize, code: tonic::Code, retryable: bool },
    Stall { replica: usize, stalled: bool },
    Die(usize),
    EndInOrder(usize),
    Drain(usize),
    Connect { replica: usize, credit: Credit },
    Grow(usize),
    Add,
    Remove(usize),
    Wait { ms: u64 },
}

fn credit() -> impl Strategy<Value = Credit> {
    (1..4_u32, 1..800_u64).prop_map(|(messages, bytes)| Credit { messages, bytes })
}

fn event(poison: bool) -> impl Strategy<Value = Event> {
    let code = prop_oneof![
        Just(tonic::Code::Internal),
        Just(tonic::Code::Unavailable),
        Just(tonic::Code::ResourceExhausted),
        Just(tonic::Code::InvalidArgument),
        Just(tonic::Code::DeadlineExceeded)
    ];
    let submit = (1..600_u64, proptest::option::of(0..3_000_u64), 0..10_u8);
    prop_oneof![
        8 => submit.prop_map(move |(bytes, deadline_ms, p)| Event::Submit { bytes, deadline_ms, poison: poison && p == 0 }),
        1 => (0..40_usize).prop_map(Event::Cancel),
        6 => (0..9_usize, 0..9_usize).prop_map(|(replica, which)| Event::Answer { replica, which }),
        2 => (0..9_usize, 0..9_usize, code, any::<bool>())
            .prop_map(|(replica, which, code, retryable)| Event::Fail { replica, which, code, retryable }),
        1 => (0..9_usize, any::<bool>()).prop_map(|(replica, stalled)| Event::Stall { replica, stalled }),
        1 => (0..9_usize).prop_map(Event::Die),
        1 => (0..9_usize).prop_map(Event::EndInOrder),
        1 => (0..9_usize).prop_map(Event::Drain),
        4 => (0..9_usize, credit()).prop_map(|(replica, credit)| Event::Connect { replica, credit }),
        1 => (0..9_usize).prop_map(Event::Grow),
        1 => Just(Event::Add),
        1 => (0..9_usize).prop_map(Event::Remove),
        3 => (0..2_500_u64).prop_map(|ms| Event::Wait { ms }),
    ]
}

fn config() -> PoolConfig {
    PoolConfig { max_queued_messages: 12, max_queued_bytes: 3_000, ..PoolConfig::default() }
}

fn happen(world: &mut World, event: &Event) {
    let ids: Vec<ReplicaId> = world.servers.keys().copied().collect();
    let at = |n: usize| ids[n % ids.len()];
    match *event {
        Event::Submit { bytes, deadline_ms, poison } => {
            let deadline = deadline_ms.map(|ms| world.now + Duration::from_millis(ms));
            world.submit(Asked { bytes, deadline, poison });
        }
        Event::Cancel(back) if back < world.asked.len() => {
            world.cancel((world.asked.len() - 1 - back) as u32);
        }
        Event::Add if ids.len() < 5 => {
            world.add();
        }
        Event::Wait { ms } => world.advance(Duration::from_millis(ms)),
        _ if ids.is_empty() => {}
        Event::Answer { replica, which } => world.answer(at(replica), which),
        Event::Fail { replica, which, code, retryable } => world.fail(at(replica), which, code, retryable),
        Event::Stall { replica, stalled } => {
            world.servers.get_mut(&at(replica)).expect("known").stalled = stalled;
            world.run_until_idle();
        }
        Event::Die(replica) => world.end_stream(at(replica), Ending::Died),
        Event::EndInOrder(replica) => world.end_stream(at(replica), Ending::Orderly),
        Event::Drain(replica) => world.drain(at(replica)),
        Event::Connect { replica, credit } => world.connect(at(replica), credit),
        Event::Grow(replica) => world.grow(at(replica)),
        Event::Remove(replica) => world.remove(at(replica)),
        Event::Cancel(_) | Event::Add => {}
    }
}

/// The weather clears: replicas come back and answer. Whatever is left must end.
fn calm(world: &mut World) {
    let rounds = 40 + 4 * world.asked.len();
    for _ in 0..rounds {
        if world.balancer.is_idle() {
            break;
        }
        if world.servers.is_empty() {
            world.add();
        }
        for id in world.servers.keys().copied().collect::<Vec<_>>() {
            let server = world.servers.get_mut(&id).expect("known");
            server.stalled = false;
            if server.half_closed {
                world.end_stream(id, Ending::Orderly);
            }
            world.connect(id, Credit { messages: 1, bytes: 1 });
            world.answer(id, 0);
        }
        // Long enough for a replica on trial, and for nothing else: calls without a deadline must not need it.
        world.advance(Duration::from_millis(100));
    }
    assert!(world.balancer.is_idle(), "calls wait for ever: {:?}", world.balancer);
    assert_eq!(world.outcomes.len(), world.asked.len(), "each call ends");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_exactly_once_whatever_happens(
        replicas in 1..4_usize,
        events in proptest::collection::vec(event(true), 1..120),
    ) {
        let mut world = World::new(config());
        (0..replicas).for_each(|_| { world.add(); });
        for event in &events {
            happen(&mut world, event);
        }
        calm(&mut world);
    }

    #[test]
    fn a_poisonous_call_kills_two_replicas_at_most_and_all_innocents_are_answered(
        replicas in 2..5_usize,
        credit in credit(),
        before in 0..10_usize,
        after in 0..30_usize,
        steps in proptest::collection::vec((0..9_usize, 0..9_usize, 0..4_u8), 0..150),
    ) {
        let mut world = World::new(PoolConfig { max_queued_messages: 100, max_queued_bytes: 100_000, ..config() });
        let ids: Vec<_> = (0..replicas).map(|_| world.add()).collect();
        for id in &ids {
            world.connect(*id, credit);
        }
        let innocent = Asked { bytes: 100, deadline: None, poison: false };
        (0..before).for_each(|_| { world.submit(innocent); });
        let poison = world.submit(Asked { poison: true, ..innocent });
        (0..after).for_each(|_| { world.submit(innocent); });
        for (replica, which, what) in steps {
            match what {
                0 => world.connect(ids[replica % replicas], credit),
                _ => world.answer(ids[replica % replicas], which),
            }
        }
        calm(&mut world);
        prop_assert_eq!(world.killed[&poison], 2);
        for (call, outcome) in &world.outcomes {
            match outcome {
                Outcome::Answered => prop_assert_ne!(*call, poison),
                Outcome::Ended(End::Lost { times: 2, .. }) => prop_assert_eq!(*call, poison),
                other => prop_assert!(false, "call {} ended with {:?}", call, other),
            }
        }
    }

    #[test]
    fn windows_of_one_message_never_deadlock(
        replicas in 1..4_usize,
        sizes in proptest::collection::vec(1..400_u64, 1..60),
        answers in proptest::collection::vec((0..9_usize, any::<bool>()), 0..60),
    ) {
        let mut world = World::new(PoolConfig { max_queued_messages: 100, max_queued_bytes: 100_000, ..config() });
        let ids: Vec<_> = (0..replicas).map(|_| world.add()).collect();
        for id in &ids {
            world.connect(*id, Credit { messages: 1, bytes: 1 });
        }
        for bytes in sizes {
            world.submit(Asked { bytes, deadline: None, poison: false });
        }
        for (replica, retryable) in answers {
            match retryable {
                true => world.fail(ids[replica % replicas], 0, tonic::Code::Internal, true),
                false => world.answer(ids[replica % replicas], 0),
            }
        }
        calm(&mut world);
        let ended = |o: &Outcome| matches!(o, Outcome::Answered | Outcome::Ended(End::Failed { .. }));
        prop_assert!(world.outcomes.values().all(ended));
    }
}
