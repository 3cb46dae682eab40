//! Which replica gets which message, over real TCP.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ovomesh_mesh::{Connector, Lifecycle, Phase, PoolConfig, ServerConfig, StageError, StreamPool};
use support::{Replica, all_ready, calls, check, done, echo, echo_after, never, pool, request, soon, until};
use tokio::sync::Semaphore;

#[tokio::test]
async fn an_answer_comes_back_with_its_times() {
    let replica = Replica::start(ServerConfig::default(), echo);
    let pool = pool(PoolConfig::default(), [&replica]);
    let reply = soon(pool.call(request(7))).await.unwrap();
    check(7, &reply);
    assert_eq!((reply.worked, reply.attempts), (Duration::from_micros(7), 1));
}

#[tokio::test]
async fn it_is_a_tower_service() {
    use tower::ServiceExt;
    let replica = Replica::start(ServerConfig::default(), echo);
    let pool = pool(PoolConfig::default(), [&replica]);
    let reply = soon(pool.oneshot(request(7))).await.unwrap();
    check(7, &reply);
}

#[tokio::test]
async fn work_goes_to_the_emptier_replica() {
    let held = Arc::new(Semaphore::new(0));
    let busy = {
        let held = Arc::clone(&held);
        Replica::start(ServerConfig::default(), move |work| {
            let held = Arc::clone(&held);
            async move {
                let _permit = held.acquire().await;
                done(work.body)
            }
        })
    };
    let free = Replica::start(ServerConfig::default(), echo);
    let patient = PoolConfig { slow_after: Duration::from_secs(600), ..PoolConfig::default() };
    let pool = pool(patient, [&busy, &free]);
    all_ready(&pool, 2).await;
    let mut first = calls(&pool, 0..2);
    until("the busy one has a call", || busy.count() == 1).await;
    // The other call was the free one's. Until it is answered, both have one.
    soon(first.join_next()).await.unwrap().unwrap().unwrap();
    for n in 10..60 {
        check(n, &soon(pool.call(request(n))).await.unwrap());
    }
    assert_eq!((busy.count(), free.count()), (1, 51));
    held.add_permits(1);
    while let Some(answer) = soon(first.join_next()).await {
        answer.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_stuck_replica_gets_no_more_than_it_has() {
    let stuck = Replica::start(ServerConfig { messages: 4, ..ServerConfig::default() }, never);
    let sound = Replica::start(ServerConfig::default(), echo_after(Duration::from_millis(1)));
    let config = PoolConfig { slow_after: Duration::from_millis(100), ..PoolConfig::default() };
    let pool = pool(config, [&stuck, &sound]);
    all_ready(&pool, 2).await;
    let mut unlucky = calls(&pool, 0..8);
    until("the stuck one has some", || stuck.count() > 0).await;
    until("it is known to be slow", || pool.state().replicas.iter().any(|r| r.phase == Phase::Slow)).await;
    let had = stuck.count();
    for n in 100..400 {
        check(n, &soon(pool.call(request(n))).await.unwrap());
    }
    assert_eq!(stuck.count(), had, "a slow replica gets nothing new");
    unlucky.abort_all();
}

#[tokio::test]
async fn a_server_that_answers_errors_quickly_does_not_attract_work() {
    let broken = Replica::start(ServerConfig::default(), |_| async { Err(StageError::internal("no model")) });
    let sound = Replica::start(ServerConfig::default(), echo_after(Duration::from_millis(2)));
    let pool = pool(PoolConfig::default(), [&broken, &sound]);
    all_ready(&pool, 2).await;
    for n in 0..200 {
        check(n, &soon(pool.call(request(n))).await.unwrap());
    }
    let state = pool.state();
    let phase =
        |replica: &Replica| state.replicas.iter().find(|r| r.endpoint == replica.uri()).unwrap().phase;
    assert_eq!((phase(&broken), phase(&sound)), (Phase::Ejected, Phase::Ready));
    assert!(broken.count() <= 5 + 2, "{} calls for a replica that fails all of them", broken.count());
}

#[tokio::test]
async fn a_replica_that_was_ejected_comes_back_once_it_works() {
    let works = Arc::new(AtomicBool::new(false));
    let ill = {
        let works = Arc::clone(&works);
        Replica::start(ServerConfig::default(), move |work| {
            let works = works.load(Ordering::SeqCst);
            async move { if works { done(work.body) } else { Err(StageError::overloaded("no memory")) } }
        })
    };
    let sound = Replica::start(ServerConfig::default(), echo);
    let config = PoolConfig { eject_base: Duration::from_millis(100), ..PoolConfig::default() };
    let pool = pool(config, [&ill, &sound]);
    all_ready(&pool, 2).await;
    let mut n = 0;
    let mut one = async || {
        n += 1;
        check(n, &soon(pool.call(request(n))).await.unwrap());
    };
    while pool.state().replicas.iter().all(|r| r.phase != Phase::Ejected) {
        one().await;
    }
    works.store(true, Ordering::SeqCst);
    while pool.state().replicas.iter().any(|r| r.phase != Phase::Ready) {
        one().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_failure_of_the_call_itself_is_passed_on_at_once() {
    let replica = Replica::start(ServerConfig::default(), |work| async move {
        Err(StageError::invalid(format!("scan {} is no egg", work.body.number)))
    });
    let pool = pool(PoolConfig::default(), [&replica]);
    let error = soon(pool.call(request(3))).await.unwrap_err();
    let text = format!("echo at {}: scan 3 is no egg (InvalidArgument)", replica.uri());
    assert_eq!(error.to_string(), text);
    assert_eq!(replica.count(), 1);
}

#[tokio::test]
async fn a_late_joiner_gets_work_at_once() {
    let (replicas, discovery) = support::watched();
    let one = ServerConfig { messages: 2, ..ServerConfig::default() };
    let first = Replica::start(one.clone(), never);
    let pool = StreamPool::start(PoolConfig::default(), Connector::default(), discovery, &Lifecycle::new());
    replicas.send_modify(|set| {
        set.insert(first.uri());
    });
    let mut stuck = calls(&pool, 0..10);
    until("the first is full and the rest waits", || first.count() == 2 && pool.state().queued == 8).await;
    let late = Replica::start(one, echo);
    replicas.send_modify(|set| {
        set.insert(late.uri());
    });
    for _ in 0..8 {
        soon(stuck.join_next()).await.unwrap().unwrap().unwrap();
    }
    assert_eq!((first.count(), late.count()), (2, 8));
    stuck.abort_all();
}

#[tokio::test]
async fn a_replica_that_left_discovery_finishes_what_it_has() {
    let (replicas, discovery) = support::watched();
    let leaving = Replica::start(ServerConfig::default(), echo_after(Duration::from_millis(200)));
    let staying = Replica::start(ServerConfig::default(), echo);
    let pool = StreamPool::start(PoolConfig::default(), Connector::default(), discovery, &Lifecycle::new());
    replicas.send_modify(|set| {
        set.insert(leaving.uri());
    });
    let mut early = calls(&pool, 0..5);
    until("it has all of them", || leaving.count() == 5).await;
    replicas.send_replace([staying.uri()].into());
    until("the other is there", || pool.state().replicas.iter().any(|r| r.endpoint == staying.uri())).await;
    for n in 10..20 {
        check(n, &soon(pool.call(request(n))).await.unwrap());
    }
    while let Some(answer) = soon(early.join_next()).await {
        assert_eq!(answer.unwrap().unwrap().attempts, 1);
    }
    until("it is forgotten", || pool.state().replicas.len() == 1).await;
    until("its stream is closed", || leaving.load().streams == 0).await;
    assert_eq!((leaving.count(), staying.count()), (5, 10));
}
