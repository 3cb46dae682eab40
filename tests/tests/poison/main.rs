//! A scan that crashes inference whenever it is computed costs two processes at most, and no other scan its verdict.
// The crash is a trap of x86 processors.
#![cfg(target_arch = "x86_64")]
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

mod model;

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;

use ovomesh_api::pb::query::v1::GetScanRequest;
use ovomesh_api::pb::scan::v1::{Call, Scan, UndecidedReason, Verdict, Volume};
use ovomesh_phantom::Class;
use ovomesh_testkit::{Fleet, Shape};
use ovomesh_tests::{Answer, LIMIT, Session, phantom, programs, query, scan, stored};

/// Innocent scans, half of them before the poisonous one; so many on their way that all processes have work.
const INNOCENT: usize = 400;
const IN_FLIGHT: usize = 48;
const POISON: &str = "poison";
const INFERENCE: [&str; 3] = ["inference-1", "inference-2", "inference-3"];

/// Three processes of inference that die of `poison`, behind a gateway and an agent.
fn mortal(poison: &Volume) -> Fleet {
    let shape = Shape::default();
    std::fs::create_dir_all(&shape.folder).unwrap();
    let models = shape.folder.join("models");
    model::write(&models, &poison.samples);
    // Nobody is to be late here, however busy this machine is.
    let lines = shape.folder.join("lines.yaml");
    std::fs::write(&lines, "default: {budget_ms: 60000}\n").unwrap();
    let shape = Shape { agents: 1, inference: INFERENCE.len(), lines: Some(lines), ..shape };
    let (name, version) = model::MODEL;
    Fleet::start(&programs().with_model(models, format!("{name}/{version}")), shape).unwrap()
}

fn poisonous(volume: &Volume) -> Scan {
    Scan { volume: Some(volume.clone()), ..scan(POISON) }
}

/// Sends the innocent scans, and the poisonous one amid them; gives all verdicts when all are stored.
async fn send_all(session: &mut Session, poison: &Volume) -> HashMap<String, Verdict> {
    let (mut verdicts, mut stored, mut sent) = (HashMap::new(), 0, 0);
    while stored < INNOCENT + 1 {
        while sent < INNOCENT && sent < verdicts.len() + IN_FLIGHT {
            if sent == INNOCENT / 2 {
                session.scan(poisonous(poison)).await;
            }
            session.scan(scan(&format!("innocent-{sent}"))).await;
            sent += 1;
        }
        match session.answer().await {
            Answer::Verdict(verdict) => {
                let id = verdict.scan_id.clone();
                assert!(verdicts.insert(id.clone(), *verdict).is_none(), "{id} was decided twice");
            }
            Answer::Committed(_) => stored += 1,
            Answer::Accepted(_) => {}
            other => panic!("{other:?}"),
        }
    }
    verdicts
}

/// Those that are dead. All of them died of the scan.
fn dead(fleet: &mut Fleet) -> Vec<&'static str> {
    let mut dead = Vec::new();
    for name in INFERENCE {
        if let Some(status) = fleet.get_mut(name).unwrap().ended().unwrap() {
            assert_eq!(status.signal(), Some(libc::SIGFPE), "{name} ended in another way: {status}");
            dead.push(name);
        }
    }
    dead
}

fn has_served(fleet: &Fleet, name: &str) -> bool {
    let metrics = ovomesh_testkit::get(fleet.get(name).unwrap().address(), "/metrics");
    metrics.is_ok_and(|(_, text)| {
        text.lines().any(|line| line.starts_with("ovomesh_mesh_served_total") && !line.ends_with(" 0"))
    })
}

#[tokio::test]
async fn a_scan_that_crashes_inference_kills_two_processes_at_most_and_everyone_else_is_answered() {
    let poison = phantom(Class::Female, 12);
    let mut fleet = mortal(&poison);
    let (mut session, _) = Session::open(&fleet.entrance().unwrap()).await;
    let verdicts = send_all(&mut session, &poison).await;

    let failed = &verdicts[POISON];
    assert_eq!((failed.call(), failed.reason()), (Call::Undecided, UndecidedReason::Failed), "{failed:?}");
    for verdict in verdicts.values().filter(|verdict| verdict.scan_id != POISON) {
        assert_eq!(verdict.call(), Call::Female, "{verdict:?}");
    }
    let mut query = query(&fleet).await;
    for (id, told) in &verdicts {
        let row = query
            .get_scan(GetScanRequest { scan_id: id.clone(), ..Default::default() })
            .await
            .unwrap()
            .into_inner()
            .row;
        assert_eq!(
            stored(&row.unwrap()).verdict.as_ref(),
            Some(told),
            "the store says something else than was told"
        );
    }
    let dead_ones = dead(&mut fleet);
    assert!((1..=2).contains(&dead_ones.len()), "{dead_ones:?} died of one scan");

    // What is restarted, as a supervisor would, is given work again; and the scan, sent again, is set aside.
    for &name in &dead_ones {
        fleet.restart(name).unwrap();
    }
    session.scan(poisonous(&poison)).await;
    assert_eq!(&session.verdict().await, failed);
    let begun = std::time::Instant::now();
    for n in 0.. {
        session.scan(scan(&format!("after-{n}"))).await;
        assert_eq!(session.verdict().await.call(), Call::Female);
        if dead_ones.iter().all(|name| has_served(&fleet, name)) {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "no work at {dead_ones:?}, which came back, within {LIMIT:?}");
    }
    assert!(dead(&mut fleet).is_empty(), "a scan that is set aside kills nobody");
}
