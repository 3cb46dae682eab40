//! The client that vendors compile, and its examples, against the real programs.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use clap::Parser as _;
use ovomesh_client::pb::query::v1::GetScanRequest;
use ovomesh_client::pb::scan::v1::Call;
use ovomesh_client::{Connector, Event, Query, Scanner, ScannerConfig};
use ovomesh_testkit::{Fleet, Shape};
use ovomesh_tests::{LIMIT, fleet, programs, scan};

// The programs that the documentation names, as they stand.
#[path = "../../crates/client/examples/scanner.rs"]
#[allow(dead_code, reason = "its main is that of an example")]
mod scanner_example;
#[path = "../../crates/client/examples/watch.rs"]
#[allow(dead_code, reason = "its main is that of an example")]
mod watch_example;

#[tokio::test]
async fn the_examples_do_what_they_say() {
    let fleet = fleet();
    let (gateway, query) = (fleet.gateway().unwrap(), fleet.query().unwrap());
    let args = watch_example::Args::parse_from(["watch", "--query", &query, "--site", "example"]);
    let mut feed = watch_example::open(args).await.unwrap();
    let args = scanner_example::Args::parse_from(["scanner", "--gateway", &gateway]);
    let verdict = tokio::time::timeout(LIMIT, scanner_example::run(args)).await.unwrap().unwrap();
    assert_eq!(verdict.call(), Call::Female);
    let rows = tokio::time::timeout(LIMIT, watch_example::next(&mut feed)).await.unwrap().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].meta.scan_id.as_str(), verdict.scan_id);
}

#[tokio::test]
async fn every_scan_has_one_outcome_although_its_gateway_is_killed_and_leaves() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    let config = ScannerConfig::new(fleet.gateway().unwrap().parse().unwrap());
    let mut scanner = Scanner::connect(config).await.unwrap();
    let (mut sent, mut broken) = (0, 0);
    let mut outcomes: HashMap<String, Vec<&'static str>> = HashMap::new();
    let count = 300;
    loop {
        // Some at a time, so that there are some in flight whenever something happens.
        while sent < count && scanner.waiting() + scanner.unanswered() < 32 {
            scanner.send(scan(&format!("client-{sent}"))).unwrap();
            sent += 1;
            if sent == count / 3 {
                fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
                fleet.restart("scanner-gateway").unwrap();
            }
            if sent == 2 * count / 3 {
                fleet.get_mut("scanner-gateway").unwrap().terminate().unwrap();
                fleet.restart("scanner-gateway").unwrap();
            }
        }
        if sent == count {
            scanner.finish();
        }
        let next = tokio::time::timeout(LIMIT, scanner.next()).await.expect("something happens");
        match next.unwrap() {
            Some(Event::Verdict(verdict)) => outcomes.entry(verdict.scan_id).or_default().push("verdict"),
            Some(Event::Committed { scan_id }) => outcomes.entry(scan_id).or_default().push("committed"),
            Some(Event::Unconfirmed { scan_id }) => outcomes.entry(scan_id).or_default().push("unconfirmed"),
            Some(Event::Broken(_)) => broken += 1,
            Some(Event::Rejected(rejected)) => panic!("{rejected:?}"),
            Some(Event::Unexpected { scan_id, answer }) => {
                panic!("{answer} of {scan_id}, which was not expected")
            }
            Some(_) => {}
            None => break,
        }
    }
    assert!(broken >= 2, "it was killed once and left once");
    assert_eq!(outcomes.len(), count);
    let query = Query::connect(fleet.query().unwrap().parse().unwrap(), &Connector::default()).await.unwrap();
    for (scan_id, what) in outcomes {
        assert!(matches!(what[..], ["verdict", "committed" | "unconfirmed"]), "{scan_id}: {what:?}");
        if what[1] == "committed" {
            let found = query
                .get_scan(GetScanRequest { scan_id: scan_id.clone(), site: "test".into() })
                .await
                .unwrap();
            assert_eq!(found.meta.scan_id.as_str(), scan_id);
        }
    }
}
