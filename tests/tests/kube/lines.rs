//! ScannerLines: what is patched counts for the next scan.

use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::UndecidedReason;
use ovomesh_testkit::Process;
use ovomesh_tests::{Session, scan};
use serde_json::json;

use crate::operator::of;
use crate::world::{LIMIT, Namespace, Test, World};

pub const TESTS: &[Test] = &[
    ("a_quarantine_is_seen_in_verdicts", a_quarantine_is_seen_in_verdicts),
    ("a_line_that_cannot_be_obeyed_says_so", a_line_that_cannot_be_obeyed_says_so),
];

/// A gateway without stages: scans are answered EXPIRED, unless their line is quarantined.
fn gateway(here: Namespace<'_>) -> Process {
    here.install(&["templates/gateway.yaml"]);
    let flags =
        ["--listen", "127.0.0.1:0", "--scanner-lines", here.name, "--preprocess", "http://127.0.0.1:9"];
    let mut gateway = here.program("scanner-gateway", "scanner-gateway", &flags).unwrap();
    gateway.ready().unwrap();
    gateway
}

fn line(here: Namespace<'_>, name: &str, spec: &serde_json::Value) {
    let line = json!({
        "apiVersion": "ovomesh.dev/v1alpha1", "kind": "ScannerLine", "metadata": {"name": name}, "spec": spec,
    });
    here.apply(&line.to_string()).unwrap();
}

fn a_quarantine_is_seen_in_verdicts(world: &World) {
    let here = world.namespace("quarantine");
    // Quarantined before the gateway starts: not one scan may be judged.
    line(here, "test-1", &json!({"site": "test", "line": "1", "quarantined": true, "budget_ms": 100}));
    let gateway = gateway(here);
    world.runtime.block_on(async {
        let (mut session, _) = Session::open(&gateway.url()).await;
        let mut number = 0;
        let mut next = async || {
            number += 1;
            session.scan(scan(&format!("q-{number}"))).await;
            session.verdict().await.reason()
        };
        assert_eq!(next().await, UndecidedReason::Quarantined);
        for quarantined in [false, true] {
            let patch = json!({"spec": {"quarantined": quarantined}}).to_string();
            here.kubectl(&["patch", "scannerline", "test-1", "--type=merge", "-p", &patch]).unwrap();
            let patched = Instant::now();
            while (next().await == UndecidedReason::Quarantined) != quarantined {
                assert!(patched.elapsed() < LIMIT, "the patch is not seen");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            println!(
                "    quarantined: {quarantined} seen in a verdict after {} ms",
                patched.elapsed().as_millis()
            );
        }
        here.kubectl(&["delete", "scannerline", "test-1"]).unwrap();
        let deleted = Instant::now();
        while next().await == UndecidedReason::Quarantined {
            assert!(deleted.elapsed() < LIMIT, "the deletion is not seen");
        }
    });
}

fn a_line_that_cannot_be_obeyed_says_so(world: &World) {
    let here = world.namespace("lines");
    here.install(&["templates/operator.yaml"]);
    let flags = ["--namespace", here.name, "--listen", "127.0.0.1:0", "--lease-seconds", "3"];
    let _operator = here.program("operator", "operator", &flags).unwrap();
    line(here, "good", &json!({"site": "n", "line": "1"}));
    line(here, "bad", &json!({"site": "n", "line": "2", "budget_ms": 5}));
    let accepted = |name: &str, reason: &str| {
        here.until(reason, "scannerline", name, |line| of(line, "Accepted")["reason"] == reason)
    };
    accepted("good", "Obeyed");
    let bad = accepted("bad", "Invalid");
    assert!(of(&bad, "Accepted")["message"].as_str().unwrap().contains("budget_ms is 5"), "{bad:#}");
    // Created later: the first one counts.
    line(here, "again", &json!({"site": "n", "line": "1", "owner": "another"}));
    accepted("again", "Duplicate");
    here.kubectl(&["patch", "scannerline", "bad", "--type=merge", "-p", r#"{"spec":{"budget_ms":500}}"#])
        .unwrap();
    accepted("bad", "Obeyed");
}
