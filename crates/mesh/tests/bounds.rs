//! What is bounded stays bounded: credit, bytes, queues, and the patience with peers.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use ovomesh_mesh::proto::{Call, Envelope, control, envelope};
use ovomesh_mesh::{CallError, Lifecycle, Limit, PoolConfig, ServerConfig};
use support::raw::{Raw, call};
use support::{
    Replica, all_ready, calls, check, done, echo, never, pool, pool_in, request, sized, soon, until, within,
};
use tokio::task::JoinSet;
use tonic::Code;

#[tokio::test]
async fn ten_thousand_calls_through_windows_of_one_message_do_not_deadlock() {
    let one = ServerConfig { messages: 1, bytes: 1, ..ServerConfig::default() };
    let replicas = [Replica::start(one.clone(), echo), Replica::start(one, echo)];
    let config = PoolConfig { max_queued_messages: 500, ..PoolConfig::default() };
    let pool = pool(config, &replicas);
    let mut set = JoinSet::new();
    for worker in 0..200_u64 {
        let pool = pool.clone();
        set.spawn(async move {
            for n in 0..50_u64 {
                let number = worker * 50 + n;
                let bytes = 1 + (number as usize).wrapping_mul(2_654_435_761) % (300 << 10);
                check(number, &pool.call(sized(number, bytes)).await.unwrap());
            }
        });
    }
    while let Some(worker) = tokio::time::timeout(Duration::from_secs(300), set.join_next()).await.unwrap() {
        worker.unwrap();
    }
    assert!(replicas.iter().all(|replica| replica.most() == 1), "one at a time");
    assert_eq!(replicas.iter().map(Replica::count).sum::<usize>(), 10_000);
}

#[tokio::test]
async fn a_replica_never_has_more_than_its_credit() {
    let config = ServerConfig { messages: 3, ..ServerConfig::default() };
    let replica = Replica::start(config, |work| async move {
        tokio::time::sleep(Duration::from_micros(work.body.number % 7 * 100)).await;
        done(work.body)
    });
    let pool = pool(PoolConfig::default(), [&replica]);
    let mut set = calls(&pool, 0..600);
    while let Some(answer) = soon(set.join_next()).await {
        answer.unwrap().unwrap();
    }
    assert_eq!(replica.most(), 3);
}

#[tokio::test]
async fn a_call_that_expired_never_reaches_a_handler() {
    let replica =
        Replica::start(ServerConfig { messages: 1, ..ServerConfig::default() }, |work| async move {
            if work.body.number == 0 {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            done(work.body)
        });
    let pool = pool(PoolConfig::default(), [&replica]);
    let mut first = calls(&pool, 0..1);
    until("it works", || replica.count() == 1).await;
    let late: Vec<_> = (1..20).map(|n| pool.call(within(request(n), Duration::from_millis(50)))).collect();
    for error in futures::future::join_all(late).await {
        assert_eq!(error.unwrap_err(), CallError::Expired { stage: "echo" });
    }
    assert_eq!(pool.state().queued, 0, "they have left the queue");
    soon(first.join_next()).await.unwrap().unwrap().unwrap();
    check(99, &soon(pool.call(request(99))).await.unwrap());
    assert_eq!(replica.seen().iter().map(|seen| seen.number).collect::<Vec<_>>(), [0, 99]);
}

#[tokio::test]
async fn a_budget_that_is_over_at_the_server_starts_nothing() {
    let replica = Replica::start(ServerConfig::default(), echo);
    let mut raw = Raw::open(&replica).await.unwrap();
    raw.credit().await;
    let mut message = call(5, 10);
    let over = Call { id: 5, budget_us: Some(0), ..Call::default() };
    message.envelope = Some(Envelope { kind: Some(envelope::Kind::Call(over)) });
    raw.send(message).await;
    let envelope::Kind::Failure(failure) = soon(raw.next()).await else { panic!("no failure") };
    assert_eq!((failure.id, failure.code), (5, Code::DeadlineExceeded as u32));
    assert_eq!(replica.count(), 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let config = PoolConfig { max_queued_messages: 10, max_queued_bytes: 50_000, ..PoolConfig::default() };
    let replica = Replica::start(ServerConfig { messages: 2, ..ServerConfig::default() }, never);
    let full = pool(config.clone(), [&replica]);
    all_ready(&full, 1).await;
    let _held = calls(&full, 0..12);
    until("all is full", || replica.count() == 2 && full.state().queued == 10).await;
    let error = soon(full.call(request(13))).await.unwrap_err();
    assert_eq!(error, CallError::Overloaded { stage: "echo", limit: Limit::Messages(10) });

    let (nobody, _lifecycle) = (pool(config, []), Lifecycle::new());
    let _large = [nobody.clone(), nobody.clone()].map(|pool| {
        let mut set = JoinSet::new();
        set.spawn(async move { pool.call(sized(1, 20_000)).await });
        set
    });
    until("two wait", || nobody.state().queued == 2).await;
    let error = soon(nobody.call(sized(3, 20_000))).await.unwrap_err();
    assert_eq!(error, CallError::Overloaded { stage: "echo", limit: Limit::Bytes(50_000) });
    assert!(nobody.state().queued_bytes <= 50_000);
}

#[tokio::test]
async fn a_call_that_no_replica_could_take_fails_with_the_numbers() {
    let pool = pool(PoolConfig { max_message_bytes: 1_000, ..PoolConfig::default() }, []);
    let error = pool.call(sized(1, 2_000)).await.unwrap_err();
    let text = "echo at pool: the call has 2069 bytes with its header, the limit is 1000; send less (InvalidArgument)";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_queue() {
    let pool = pool(PoolConfig::default(), []);
    let mut set = calls(&pool, 0..5);
    until("they wait", || pool.state().queued == 5).await;
    set.abort_all();
    while set.join_next().await.is_some() {}
    assert_eq!((pool.state().queued, pool.state().queued_bytes), (0, 0));
}

#[tokio::test]
async fn a_client_that_goes_past_its_credit_has_its_stream_closed() {
    let config = ServerConfig { messages: 3, ..ServerConfig::default() };
    let replica = Replica::start(config, never);
    let mut raw = Raw::open(&replica).await.unwrap();
    assert_eq!(raw.credit().await.messages, 3);
    for id in 0..4 {
        raw.send(call(id, 10)).await;
    }
    let (_, status) = soon(raw.end()).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "call 3: 3 calls are outstanding, the credit is 3; wait for answers");
    until("the stream is gone", || replica.load().streams == 0).await;
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_is_told_which_after_the_finished_answers() {
    let envelope = |kind| Some(Envelope { kind });
    let bodyless = support::echo::EchoRequest { body: None, ..call(2, 1) };
    let headless = support::echo::EchoRequest { envelope: None, ..call(2, 1) };
    let empty = support::echo::EchoRequest { envelope: envelope(None), ..call(2, 1) };
    for (message, code, text) in [
        (bodyless, Code::FailedPrecondition, "call 2: it has no body"),
        (
            headless,
            Code::FailedPrecondition,
            "a message without a call in its envelope; only calls are taken",
        ),
        (empty, Code::FailedPrecondition, "a message without a call in its envelope; only calls are taken"),
    ] {
        let replica = Replica::start(ServerConfig::default(), echo);
        let mut raw = Raw::open(&replica).await.unwrap();
        raw.credit().await;
        raw.send(call(1, 10)).await;
        until("it works on the first", || replica.count() == 1).await;
        raw.send(message).await;
        let (answers, status) = soon(raw.end()).await;
        assert_eq!((answers, status.code(), status.message()), (1, code, text));
    }
    let replica = Replica::start(ServerConfig::default(), never);
    let mut raw = Raw::open(&replica).await.unwrap();
    raw.credit().await;
    raw.send(call(1, 10)).await;
    raw.send(call(1, 10)).await;
    let (_, status) = soon(raw.end()).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("its id is outstanding already"), "{}", status.message());
}

#[tokio::test]
async fn streams_together_stay_within_the_bytes_of_their_server() {
    let config = ServerConfig {
        bytes: 600_000,
        // One address may have 1,000,000 of them.
        total_bytes: 1_333_334,
        max_message_bytes: 300_000,
        ..ServerConfig::default()
    };
    let replica = Replica::start(config, never);
    let (mut first, mut second) = (Raw::open(&replica).await.unwrap(), Raw::open(&replica).await.unwrap());
    assert_eq!((first.credit().await.bytes, second.credit().await.bytes), (600_000, 400_000));
    let refused = Raw::open(&replica).await.err().expect("there is no room");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("0 of the 1000000 bytes that one address may have"),
        "{}",
        refused.message()
    );
    drop(first);
    let control::Kind::Credit(more) = soon(second.control()).await else { panic!("no credit") };
    assert_eq!(more.bytes, 600_000, "what another stream gave back");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let config = ServerConfig { write_stall: Duration::from_millis(300), ..ServerConfig::default() };
    let replica = Replica::start(config, echo);
    let mut raw = Raw::open_with_window(&replica, 1 << 16).await.unwrap();
    raw.credit().await;
    for id in 0..20 {
        raw.send(call(id, 100_000)).await;
    }
    until("all are answered", || replica.count() == 20).await;
    assert_eq!(replica.load().streams, 1);
    until("it is cut off", || replica.load().streams == 0).await;
    assert_eq!(replica.load().outstanding, 0);
}

#[tokio::test]
async fn a_program_that_drains_finishes_its_calls_and_takes_no_more() {
    let replica = Replica::start(ServerConfig::default(), support::echo_after(Duration::from_millis(100)));
    let lifecycle = Lifecycle::new();
    let pool = pool_in(PoolConfig::default(), [&replica], &lifecycle);
    let mut set = calls(&pool, 0..20);
    until("they are there", || replica.count() == 20).await;
    lifecycle.drain.cancel();
    until("it refuses", || {
        let mut probe = Box::pin(pool.call(request(99)));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        matches!(probe.as_mut().poll(&mut cx), std::task::Poll::Ready(Err(CallError::Closed { .. })))
    })
    .await;
    while let Some(answer) = soon(set.join_next()).await {
        answer.unwrap().unwrap();
    }
    lifecycle.tasks.close();
    soon(lifecycle.tasks.wait()).await;
    until("its stream is closed", || replica.load().streams == 0).await;
}

#[tokio::test]
async fn a_pool_that_is_dropped_leaves_no_task() {
    let replica = Replica::start(ServerConfig::default(), echo);
    let lifecycle = Lifecycle::new();
    let pool = pool_in(PoolConfig::default(), [&replica], &lifecycle);
    check(1, &soon(pool.call(request(1))).await.unwrap());
    drop(pool);
    lifecycle.tasks.close();
    soon(lifecycle.tasks.wait()).await;
}

#[tokio::test(start_paused = true)]
async fn deadlines_fire_on_time_without_any_replica() {
    let pool = pool(PoolConfig::default(), []);
    let begun = tokio::time::Instant::now();
    for ms in [100, 20, 5_000] {
        let before = begun.elapsed();
        let error = pool.call(within(request(1), Duration::from_millis(ms))).await.unwrap_err();
        assert_eq!(error, CallError::Expired { stage: "echo" });
        let took = begun.elapsed() - before;
        assert!(took >= Duration::from_millis(ms) && took <= Duration::from_millis(ms + 2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_with_nobody_to_call_ends_after_its_grace() {
    let lifecycle = Lifecycle::new();
    let pool = pool_in(PoolConfig::default(), [], &lifecycle);
    let begun = tokio::time::Instant::now();
    lifecycle.drain.cancel();
    let mut set = calls(&pool, 0..3);
    tokio::task::yield_now().await;
    while let Some(answer) = set.join_next().await {
        assert_eq!(answer.unwrap().unwrap_err(), CallError::Closed { stage: "echo" });
    }
    lifecycle.tasks.close();
    lifecycle.tasks.wait().await;
    assert!(begun.elapsed() <= Duration::from_secs(11));
}
