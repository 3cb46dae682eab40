//! What happens to calls when replicas die, stall, drain and are poisoned. Real TCP, and replicas that die as
//! processes do.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ovomesh_mesh::{CallError, Phase, PoolConfig, ServerConfig};
use parking_lot::{Condvar, Mutex};
use support::{
    Replica, all_ready, calls, check, done, echo, echo_after, never, pool, request, soon, until, within,
};
use tokio::time::Instant;

#[tokio::test]
async fn a_killed_replica_loses_no_call() {
    let (slow, begun) = (echo_after(Duration::from_millis(3)), AtomicUsize::new(0));
    // It answers a hundred, so that some are with it whenever it is killed.
    let mut killed = Replica::start(ServerConfig::default(), move |work| match begun.fetch_add(1, Relaxed) {
        ..100 => slow(work),
        _ => Box::pin(never(work)),
    });
    let other = Replica::start(ServerConfig::default(), echo_after(Duration::from_millis(3)));
    let pool = pool(PoolConfig::default(), [&killed, &other]);
    all_ready(&pool, 2).await;
    let mut set = calls(&pool, 0..1_000);
    until("it is in the middle", || killed.count() > 100).await;
    killed.kill();
    let (mut answers, mut again) = (0, 0);
    while let Some(answer) = soon(set.join_next()).await {
        answers += 1;
        again += u32::from(answer.unwrap().unwrap().attempts > 1);
    }
    assert_eq!(answers, 1_000);
    assert!((1..=64).contains(&again), "{again} were sent again, the credit was 64");
    let alone = other.seen().iter().filter(|seen| seen.alone).count();
    assert_eq!(alone as u32, again, "each of them alone");
}

#[tokio::test]
async fn a_replica_that_comes_back_is_used_again() {
    let mut replica = Replica::start(ServerConfig::default(), echo);
    let pool = pool(PoolConfig::default(), [&replica]);
    check(1, &soon(pool.call(request(1))).await.unwrap());
    replica.kill();
    let mut waiting = calls(&pool, 2..5);
    until("it is known to be gone", || pool.state().replicas[0].phase == Phase::Connecting).await;
    let _again = Replica::start_at(replica.address, ServerConfig::default(), echo);
    while let Some(answer) = soon(waiting.join_next()).await {
        answer.unwrap().unwrap();
    }
    assert_eq!(pool.state().replicas[0].losses, 1);
}

/// Blocks the whole runtime of a replica, sockets and pings included, as SIGSTOP does.
#[derive(Default)]
struct Stop(Mutex<bool>, Condvar);

impl Stop {
    fn wait(&self) {
        self.1.wait_while(&mut self.0.lock(), |go| !*go);
    }

    fn go(&self) {
        *self.0.lock() = true;
        self.1.notify_all();
    }
}

#[tokio::test]
async fn a_stalled_replica_is_dead_after_five_seconds_and_its_calls_go_elsewhere() {
    let stop = Arc::new(Stop::default());
    let stalled = {
        let stop = Arc::clone(&stop);
        Replica::start(ServerConfig::default(), move |work| {
            stop.wait();
            async move { done(work.body) }
        })
    };
    let other = Replica::start(ServerConfig::default(), echo);
    let pool = pool(PoolConfig::default(), [&stalled, &other]);
    all_ready(&pool, 2).await;
    let begun = Instant::now();
    let mut set = calls(&pool, 0..20);
    let late = within(request(99), Duration::from_millis(500));
    let mut expired = Vec::new();
    while stalled.count() == 0 {
        tokio::task::yield_now().await;
    }
    // Whatever goes to the stalled one with a deadline is answered at its deadline.
    for _ in 0..4 {
        if let Err(error) = pool.call(late.clone()).await {
            expired.push(error);
        }
    }
    assert!(expired.iter().all(|error| matches!(error, CallError::Expired { .. })));
    while let Some(answer) = soon(set.join_next()).await {
        answer.unwrap().unwrap();
    }
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(3),
        "a busy core is not death, but it was called dead after {took:?}"
    );
    assert_eq!(pool.state().replicas.iter().map(|replica| replica.losses).sum::<u64>(), 1);
    stop.go();
}

#[tokio::test]
async fn a_draining_server_finishes_what_it_has_and_takes_no_more() {
    let draining = Replica::start(ServerConfig::default(), echo_after(Duration::from_millis(50)));
    let other = Replica::start(ServerConfig::default(), echo_after(Duration::from_millis(50)));
    let pool = pool(PoolConfig::default(), [&draining, &other]);
    all_ready(&pool, 2).await;
    let set = calls(&pool, 0..40);
    until("both work", || draining.count() > 5 && other.count() > 5).await;
    draining.drain();
    until("it is known", || pool.state().replicas.iter().any(|r| r.phase == Phase::Draining)).await;
    let had = draining.count();
    for mut set in [set, calls(&pool, 40..80)] {
        while let Some(answer) = soon(set.join_next()).await {
            assert_eq!(answer.unwrap().unwrap().attempts, 1, "nothing is sent twice because of a drain");
        }
    }
    assert_eq!(draining.count(), had);
    draining.lifecycle.tasks.close();
    soon(draining.lifecycle.tasks.wait()).await;
    assert_eq!(pool.state().replicas.iter().map(|replica| replica.losses).sum::<u64>(), 0);
}

#[tokio::test]
async fn calls_left_when_a_drain_is_over_are_no_suspects() {
    let config = ServerConfig { drain_grace: Duration::from_millis(100), ..ServerConfig::default() };
    let draining = Replica::start(config, never);
    let pool_config = PoolConfig { slow_after: Duration::from_secs(600), ..PoolConfig::default() };
    let (replicas, discovery) = support::watched();
    replicas.send_replace([draining.uri()].into());
    let lifecycle = ovomesh_mesh::Lifecycle::new();
    let pool = ovomesh_mesh::StreamPool::start(
        pool_config,
        ovomesh_mesh::Connector::default(),
        discovery,
        &lifecycle,
    );
    let mut set = calls(&pool, 0..10);
    until("it has them", || draining.count() == 10).await;
    let other = Replica::start(ServerConfig::default(), echo);
    replicas.send_replace([draining.uri(), other.uri()].into());
    draining.drain();
    while let Some(answer) = soon(set.join_next()).await {
        assert_eq!(answer.unwrap().unwrap().attempts, 2);
    }
    assert!(other.seen().iter().all(|seen| !seen.alone));
}

/// Replicas that end as processes do when they get number 666.
fn mortals(count: usize) -> Vec<Arc<Mutex<Replica>>> {
    (0..count)
        .map(|_| {
            let me: Arc<Mutex<Option<Arc<Mutex<Replica>>>>> = Arc::default();
            let mine = Arc::clone(&me);
            let replica = Replica::start(ServerConfig::default(), move |work| {
                if work.body.number == 666 {
                    let me = mine.lock().take();
                    std::thread::spawn(move || me.map(|me| me.lock().kill()));
                }
                echo_after(Duration::from_millis(20))(work)
            });
            let replica = Arc::new(Mutex::new(replica));
            *me.lock() = Some(Arc::clone(&replica));
            replica
        })
        .collect()
}

#[tokio::test]
async fn a_poisonous_call_kills_two_replicas_at_most_and_every_innocent_is_answered() {
    let replicas = mortals(3);
    let uris = replicas.iter().map(|replica| replica.lock().uri());
    let discovery = ovomesh_mesh::discover::fixed(uris.collect::<Vec<_>>());
    let lifecycle = ovomesh_mesh::Lifecycle::new();
    let connector = ovomesh_mesh::Connector::default();
    let pool = ovomesh_mesh::StreamPool::start(PoolConfig::default(), connector, discovery, &lifecycle);
    all_ready(&pool, 3).await;
    let mut innocents = calls(&pool, 0..60);
    let poison = soon(pool.call(request(666))).await.unwrap_err();
    assert!(matches!(poison, CallError::Lost { times: 2, .. }), "{poison}");
    while let Some(answer) = soon(innocents.join_next()).await {
        answer.unwrap().unwrap();
    }
    assert_eq!(pool.state().replicas.iter().map(|replica| replica.losses).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_call_and_no_other() {
    let replica = Replica::start(ServerConfig::default(), |work| async move {
        assert!(work.body.number != 3, "number 3");
        done(work.body)
    });
    let pool = pool(PoolConfig::default(), [&replica]);
    let mut set = calls(&pool, 0..10);
    let mut failed = Vec::new();
    while let Some(answer) = soon(set.join_next()).await {
        failed.extend(answer.unwrap().err());
    }
    let [CallError::Failed { code: tonic::Code::Internal, .. }] = failed[..] else { panic!("{failed:?}") };
    assert_eq!(pool.state().replicas[0].losses, 0, "the stream goes on");
}
