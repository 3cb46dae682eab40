//! Many peers, and peers that take whatever they can: each has its part, and the others keep theirs.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use ovomesh_api::pb::gateway::v1 as gateway;
use ovomesh_api::pb::scan::v1::{RejectCode, Scan};
use ovomesh_api::pb::scanner::v1::{ConnectRequest, connect_request, connect_response};
use ovomesh_testkit::{Fleet, Shape};
use ovomesh_tests::{Opening, Raw, Session, connect_from, framed, hello, programs, scan};
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tonic::Code;

/// The memory that the gateway is given, in MiB: its default.
const MEMORY_MIB: u64 = 512;
/// Another address than that of the other scanners.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Answers that a peer lets out.
const WINDOW: u32 = 1 << 20;

fn crowded() -> Fleet {
    Fleet::start(&programs(), Shape { gateway_memory_mib: MEMORY_MIB, ..Shape::default() }).unwrap()
}

/// The gateway of `fleet` still decides what a scanner of another address sends, within its memory.
async fn serves_others(fleet: &Fleet, name: &str) {
    let (mut session, _) = Session::open(&fleet.gateway().unwrap()).await;
    for n in 0..20 {
        session.scan(scan(&format!("{name}-{n}"))).await;
        session.verdict().await;
    }
    let peak = fleet.get("scanner-gateway").unwrap().usage().peak;
    assert!(peak <= MEMORY_MIB << 20, "{name}: {} MiB", peak >> 20);
    println!("{name}: at most {} MiB", peak >> 20);
}

/// An agent's link that has been welcomed, or how its call ended.
async fn agent(gateway: String) -> Result<Raw, tonic::Status> {
    let service = "ovomesh.gateway.v1.GatewayService";
    let opening = Opening { source: STRANGER, service, ..Opening::default() };
    let broken = |error: h2::Error| tonic::Status::unknown(error.to_string());
    let mut raw = Raw::open_as(&gateway, &opening).await.map_err(broken)?;
    let hello = gateway::Hello { agent: "a".into(), protocol_version: 1, ..Default::default() };
    let message = Some(gateway::connect_request::Message::Hello(hello));
    raw.write(framed(&gateway::ConnectRequest { message }.encode_to_vec()));
    raw.answered().await?;
    Ok(raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_agents_fit_and_one_address_never_takes_all_sessions() {
    let fleet = crowded();
    let url = fleet.gateway().unwrap();
    let mut agents = Vec::new();
    let refused = loop {
        let opening: JoinSet<_> = (0..50).map(|_| agent(url.clone())).collect();
        let opened = opening.join_all().await;
        let mut refused = None;
        for opened in opened {
            match opened {
                Ok(link) => agents.push(link),
                Err(status) => refused = Some(status),
            }
        }
        if let Some(refused) = refused {
            break refused;
        }
    };
    assert!(agents.len() >= 2_000, "{} fit: {refused:?}", agents.len());
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("sessions that one address may have"), "{refused:?}");
    println!("{} agents", agents.len());
    serves_others(&fleet, "beside-idle-agents").await;
    drop(agents);
}

/// A call of a stranger, whose answers are let out within this window.
async fn call(gateway: &str, window: u32) -> Raw {
    let opening = Opening { source: STRANGER, window, ..Opening::default() };
    Raw::open_as(gateway, &opening).await.unwrap()
}

/// A stranger that has said Hello.
async fn stranger(gateway: &str) -> Raw {
    let mut raw = call(gateway, WINDOW).await;
    raw.message(connect_request::Message::Hello(hello()));
    raw
}

/// A stranger's scan whose message was begun and never ends. An error: there was no room for its session.
async fn half_sent(gateway: &str, bytes: usize) -> Result<Raw, tonic::Status> {
    let mut raw = stranger(gateway).await;
    raw.answered().await?;
    let scan = Scan { volume: None, ..scan("never-whole") };
    let message =
        framed(&ConnectRequest { message: Some(connect_request::Message::Scan(scan)) }.encode_to_vec());
    let mut begun = vec![0];
    begun.extend(u32::try_from(bytes).unwrap().to_be_bytes());
    begun.extend_from_slice(&message[5..]);
    raw.write(begun);
    Ok(raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_that_are_begun_and_never_sent_take_one_address_its_own_part() {
    let fleet = crowded();
    let url = fleet.gateway().unwrap();
    let (mut late, mut strangers) = (stranger(&url).await, Vec::new());
    let refused = loop {
        match half_sent(&url, 4 << 20).await {
            Ok(raw) => strangers.push(raw),
            Err(status) => break status,
        }
    };
    assert!(refused.message().contains("bytes that one address may have"), "{refused:?}");
    serves_others(&fleet, "beside-half-sent-scans").await;
    late.message(connect_request::Message::Scan(scan("one-too-many")));
    late.half_close();
    let (answers, _) = late.answers().await;
    let Some(connect_response::Message::Rejected(rejected)) = answers.get(1) else { panic!("{answers:?}") };
    assert_eq!((rejected.code(), rejected.retryable), (RejectCode::Overloaded, true));
    assert_eq!(rejected.scan_id, "one-too-many");
    assert!(rejected.message.contains("bytes that one address may have"), "{rejected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_before_hello_takes_no_memory() {
    let fleet = crowded();
    let url = fleet.gateway().unwrap();
    let mut strangers = Vec::new();
    for _ in 0..1_000 {
        let mut raw = call(&url, WINDOW).await;
        let mut begun = vec![0];
        begun.extend((1_u32 << 20).to_be_bytes());
        begun.resize(512 << 10, 0);
        raw.write(begun);
        strangers.push(raw);
    }
    serves_others(&fleet, "beside-messages-before-hello").await;
    drop(strangers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_never_call_leave_room_for_others() {
    let fleet = crowded();
    let url = fleet.gateway().unwrap();
    let mut strangers = Vec::new();
    for _ in 0..4_500 {
        let mut stream = connect_from(STRANGER, &url).await;
        // Those past the limit of one address are closed.
        let _ = stream.write_all(b"P").await;
        strangers.push(stream);
    }
    serves_others(&fleet, "beside-silent-connections").await;
    drop(strangers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_lets_no_answer_out_is_disconnected() {
    let fleet = crowded();
    let mut raw = call(&fleet.gateway().unwrap(), 0).await;
    raw.message(connect_request::Message::Hello(hello()));
    // The transport takes one answer, the next one waits.
    raw.message(connect_request::Message::Scan(scan("unread")));
    raw.closed().await;
}
