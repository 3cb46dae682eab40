//! Processes die, freeze, leave and come back; every scan is answered once, and every verdict is stored.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use ovomesh_api::pb::query::v1::GetScanRequest;
use ovomesh_api::pb::scan::v1::{Call, UndecidedReason};
use ovomesh_testkit::{Fleet, Shape};
use ovomesh_tests::{Answer, LIMIT, Session, programs, query, scan, stored};

/// Sends `count` scans; `midway` happens when half of them are sent. Gives the verdicts by scan id, all committed.
async fn scans(
    fleet: &mut Fleet,
    name: &str,
    count: usize,
    midway: impl FnOnce(&mut Fleet),
) -> HashMap<String, Answer> {
    let (mut session, welcome) = Session::open(&fleet.gateway().unwrap()).await;
    let ahead = usize::try_from(welcome.max_in_flight).unwrap().min(64);
    let mut midway = Some(midway);
    let (mut sent, mut committed) = (0, 0);
    let mut answers = HashMap::new();
    while answers.len() < count || committed < answers.len() {
        while sent < count && sent < answers.len() + ahead {
            session.scan(scan(&format!("{name}-{sent}"))).await;
            sent += 1;
            if sent == count / 2
                && let Some(midway) = midway.take()
            {
                midway(fleet);
            }
        }
        match session.answer().await {
            Answer::Verdict(verdict) => {
                let id = verdict.scan_id.clone();
                assert!(
                    answers.insert(id.clone(), Answer::Verdict(verdict)).is_none(),
                    "{id} was answered twice"
                );
            }
            Answer::Committed(_) => committed += 1,
            other => panic!("{other:?}"),
        }
    }
    answers
}

fn reason(answer: &Answer) -> UndecidedReason {
    match answer {
        Answer::Verdict(verdict) => verdict.reason(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_killed_inference_process_loses_no_scan() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    let answers =
        scans(&mut fleet, "kill", 300, |fleet| fleet.get_mut("inference-1").unwrap().kill().unwrap()).await;
    assert!(answers.values().all(|a| reason(a) != UndecidedReason::Failed), "innocent scans are retried");
    fleet.restart("inference-1").unwrap();
    scans(&mut fleet, "after", 20, |_| ()).await;
}

#[tokio::test]
async fn a_frozen_preprocess_costs_lateness_and_no_memory_and_no_answer() {
    let shape = Shape { gateway_memory_mib: 64, ..Shape::default() };
    let mut fleet = Fleet::start(&programs(), shape).unwrap();
    let answers =
        scans(&mut fleet, "freeze", 200, |fleet| fleet.get("preprocess-1").unwrap().freeze().unwrap()).await;
    let expired = answers.values().filter(|a| reason(a) == UndecidedReason::Expired).count();
    assert!(expired > 0, "nobody can be in time while the only preprocess stands still");
    fleet.get("preprocess-1").unwrap().thaw().unwrap();
    let peak = fleet.get("scanner-gateway").unwrap().usage().peak;
    assert!(peak < 64 << 20, "the gateway took {} MiB of 64", peak >> 20);
    recovers(&mut fleet).await;
}

/// Scans are decided again.
async fn recovers(fleet: &mut Fleet) {
    let begun = std::time::Instant::now();
    for n in 0.. {
        let answers = scans(fleet, &format!("recover-{n}"), 1, |_| ()).await;
        if answers.values().all(|a| reason(a) == UndecidedReason::Unspecified) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "no verdict in time within {LIMIT:?}");
    }
}

#[tokio::test]
async fn a_killed_store_keeps_what_was_committed_and_takes_the_rest_later() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    let before = scans(&mut fleet, "before", 50, |_| ()).await;
    fleet.get_mut("results-store").unwrap().kill().unwrap();
    let (mut session, _) = Session::open(&fleet.gateway().unwrap()).await;
    session.scan(scan("meanwhile")).await;
    assert_eq!(session.verdict().await.call(), Call::Female, "verdicts need no store");
    fleet.restart("results-store").unwrap();
    assert!(matches!(session.answer().await, Answer::Committed(id) if id == "meanwhile"));
    let mut query = query(&fleet).await;
    for id in before.keys().map(String::as_str).chain(["meanwhile"]) {
        let row = until_found(&mut query, id).await;
        assert_eq!(row.scan_id, id);
    }
}

type Query = ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient<tonic::transport::Channel>;

/// Reads a stored scan; query may need a moment to find its store again.
async fn until_found(query: &mut Query, id: &str) -> ovomesh_api::pb::scan::v1::Row {
    let begun = std::time::Instant::now();
    loop {
        match query.get_scan(GetScanRequest { scan_id: id.into(), ..Default::default() }).await {
            Ok(found) => return stored(&found.into_inner().row.unwrap()),
            Err(status) if status.code() == tonic::Code::Unavailable && begun.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(status) => panic!("{id}: {status:?}"),
        }
    }
}

#[tokio::test]
async fn a_gateway_that_leaves_answers_what_it_has() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    let (mut session, _) = Session::open(&fleet.gateway().unwrap()).await;
    for n in 0..20 {
        session.scan(scan(&format!("leave-{n}"))).await;
    }
    // The first answer says that the gateway has begun.
    session.verdict().await;
    let leaving = tokio::task::spawn_blocking(move || {
        fleet.get_mut("scanner-gateway").unwrap().terminate().map(|s| (s, fleet))
    });
    let mut answered = 1;
    let end = loop {
        match session.decision().await {
            Answer::Verdict(_) => answered += 1,
            end => break end,
        }
    };
    assert!(matches!(&end, Answer::Broke(status) if status.code() == tonic::Code::Unavailable), "{end:?}");
    assert!(answered >= 1);
    let (status, fleet) = leaving.await.unwrap().unwrap();
    assert!(status.success(), "it drained: {status}");
    drop(fleet);
}

#[tokio::test]
async fn a_late_replica_gets_work() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    fleet.get_mut("inference-2").unwrap().kill().unwrap();
    scans(&mut fleet, "one", 50, |_| ()).await;
    fleet.restart("inference-2").unwrap();
    let address = fleet.get("inference-2").unwrap().address();
    let answers = || {
        let (_, metrics) = ovomesh_testkit::get(address, "/metrics").ok()?;
        metrics
            .lines()
            .any(|line| line.starts_with("ovomesh_mesh_served_total") && !line.ends_with(" 0"))
            .then_some(())
    };
    // The gateway looks for a replica that is away every two seconds at the latest.
    let begun = std::time::Instant::now();
    for n in 0.. {
        scans(&mut fleet, &format!("two-{n}"), 20, |_| ()).await;
        if answers().is_some() {
            return;
        }
        let shown = ovomesh_testkit::get(address, "/metrics");
        assert!(begun.elapsed() < LIMIT, "no work at the replica that came back within {LIMIT:?}: {shown:?}");
    }
}
