//! `ovomesh simulate` against a gateway that checks what it gets and misbehaves when asked to.

mod common;

use std::time::Duration;

use common::gateway::{Act, Gateway};
use common::{Ran, ovomesh};
use ovomesh_api::pb::scan::v1::Call;
use serde_json::Value;

/// A run of a second with 4 scanners; the report as JSON.
async fn simulate(gateway: &Gateway, flags: &str) -> Ran {
    simulate_with(gateway, 4, flags).await
}

async fn simulate_with(gateway: &Gateway, scanners: u32, flags: &str) -> Ran {
    let short = format!("simulate --quiet --scanners {scanners} --rate 200 --seconds 1 --distinct 16");
    ovomesh(&format!("--output json --gateway {} {short} {flags}", gateway.url)).await
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("{field} in {report}"))
}

#[tokio::test]
async fn every_scan_is_answered_once_and_the_report_adds_up() {
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let ran = simulate(&gateway, &format!("--report {}", file.path().display())).await;
    assert!(ran.succeeded(), "{:?} {}", ran.result, ran.printed);
    let report = ran.json();
    for (field, expected) in [
        ("sent", 200),
        ("verdicts", 200),
        ("committed", 200),
        ("rejected", 0),
        ("lost", 0),
        ("duplicated", 0),
        ("strays", 0),
        ("unsent", 0),
        ("expired", 0),
        ("undecided", 0),
        ("distinct_eggs", 16),
        ("streams_broken", 0),
        ("resent", 0),
    ] {
        assert_eq!(number(&report, field), expected, "{field}");
    }
    // A gateway that calls every egg female is right about the females.
    assert_eq!(report["calls"]["female"], 200);
    let females = report["confusion"]["female"]["female"].as_u64().unwrap();
    assert_eq!(report["accuracy_scans"].as_f64().unwrap(), females as f64 / 200.0);
    let [accuracy, low, high] =
        ["accuracy", "accuracy_low", "accuracy_high"].map(|field| report[field].as_f64().unwrap());
    assert!(0.0 < low && low < accuracy && accuracy < high && high < 1.0, "{low} {accuracy} {high}");
    let timeline = report["timeline"].as_array().unwrap();
    for field in ["sent", "verdicts"] {
        assert_eq!(timeline.iter().map(|second| number(second, field)).sum::<u64>(), 200, "{field}");
    }
    assert!((report["stages"]["preprocess"]["p50_ms"].as_f64().unwrap() - 0.3).abs() < 0.001);
    assert!(report["p50_ms"].as_f64() <= report["p99_ms"].as_f64());
    assert!(report["generator_cpu_ms_per_scan"].as_f64().unwrap() > 0.0);
    let written: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(written, report, "the file has the same report");
}

#[tokio::test]
async fn scans_come_with_names_places_and_their_budget() {
    let gateway = Gateway::start(|_| Act::Decide(Call::Male)).await;
    let ran = simulate(&gateway, "--lines 2 --tray 10 --purpose calibration --encoding zstd --seed 7").await;
    assert!(ran.succeeded());
    let by_id = gateway.by_id();
    assert_eq!(by_id.len(), 200, "an id for each scan");
    let mut serials: Vec<String> = Vec::new();
    let mut places = std::collections::HashSet::new();
    for seen in by_id.values().flatten() {
        let meta = &seen.scan.meta;
        assert!(meta.egg_id.as_ref().unwrap().as_str().starts_with("egg-7-"));
        assert!(
            ["line-1", "line-2"].contains(&meta.place.line().as_str()) && meta.place.site().as_str() == "sim"
        );
        assert!((1..=10).contains(&meta.place.slot));
        assert!(
            places.insert((meta.place.tray_run.clone(), meta.place.slot)),
            "two eggs in {:?}",
            meta.place
        );
        assert!(!meta.clock_suspect);
        let budget = seen.scan.budget.unwrap();
        assert!(budget <= Duration::from_secs(2) && !budget.is_zero(), "{budget:?}");
        serials.push(seen.hello.scanner.as_ref().unwrap().serial.clone());
    }
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 4, "a session for each scanner");
}

#[tokio::test]
async fn a_second_answer_to_a_scan_fails_the_run() {
    let gateway =
        Gateway::start(|n| if n == 50 { Act::AnswerTwice } else { Act::Decide(Call::Female) }).await;
    let ran = simulate(&gateway, "").await;
    assert!(!ran.succeeded());
    let report = ran.json();
    assert_eq!((number(&report, "duplicated"), number(&report, "verdicts")), (1, 200));
}

#[tokio::test]
async fn an_answer_to_a_scan_that_was_never_sent_fails_the_run() {
    let gateway = Gateway::start(|n| if n == 50 { Act::Invent } else { Act::Decide(Call::Female) }).await;
    let ran = simulate(&gateway, "").await;
    assert!(!ran.succeeded());
    assert_eq!(number(&ran.json(), "strays"), 1);
}

#[tokio::test]
async fn a_scan_without_an_answer_is_lost_and_fails_the_run() {
    let gateway =
        Gateway::start(|n| if n % 100 == 0 { Act::Swallow } else { Act::Decide(Call::Female) }).await;
    let ran = simulate(&gateway, "--budget-ms 100").await;
    assert!(!ran.succeeded());
    let report = ran.json();
    assert_eq!(
        (number(&report, "sent"), number(&report, "verdicts"), number(&report, "lost")),
        (200, 198, 2)
    );
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_and_its_unanswered_scans_are_sent_again() {
    // Each of the four streams may be the one that breaks; what was on its way is sent again.
    let gateway = Gateway::start(|n| match n {
        40 | 41 | 90 => Act::Break,
        _ => Act::Decide(Call::Female),
    })
    .await;
    let ran = simulate(&gateway, "").await;
    assert!(ran.succeeded(), "{}", ran.printed);
    let report = ran.json();
    assert_eq!(
        (number(&report, "sent"), number(&report, "verdicts"), number(&report, "lost")),
        (200, 200, 0)
    );
    let broken = number(&report, "streams_broken");
    assert!((2..=3).contains(&broken), "two breaks may hit one stream: {broken}");
    assert_eq!(number(&report, "streams_reconnected"), broken);
    assert!(number(&report, "resent") >= broken);
    assert!(report["causes"].to_string().contains("this gateway is leaving"));
    let by_id = gateway.by_id();
    assert_eq!(by_id.len(), 200);
    let repeats: Vec<_> = by_id.values().filter(|seen| seen.len() > 1).collect();
    assert!(repeats.len() as u64 >= broken);
    for seen in repeats {
        let [first, .., again] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(first.scan.meta.image, again.scan.meta.image, "the same scan");
        assert_eq!(first.scan.meta.acquired_at, again.scan.meta.acquired_at);
        assert!(again.scan.budget < first.scan.budget, "with what is left of its budget");
    }
}

#[tokio::test]
async fn a_verdict_whose_committed_was_cut_off_is_neither_sent_again_nor_waited_for() {
    let gateway =
        Gateway::start(|n| if n == 40 { Act::DecideAndBreak } else { Act::Decide(Call::Female) }).await;
    let ran = simulate(&gateway, "").await;
    assert!(ran.succeeded(), "{}", ran.printed);
    let report = ran.json();
    assert_eq!(
        (number(&report, "verdicts"), number(&report, "committed"), number(&report, "unconfirmed")),
        (200, 199, 1)
    );
    let decided = gateway.received()[39].scan.meta.scan_id.to_string();
    assert_eq!(gateway.by_id()[&decided].len(), 1, "it was sent once");
}

#[tokio::test]
async fn scans_that_the_server_does_not_read_wait_here_and_are_sent_in_the_end() {
    let pause = |n| if n == 20 { Act::Pause(Duration::from_millis(900)) } else { Act::Decide(Call::Female) };
    let gateway = Gateway::start(pause).await;
    let ran = simulate_with(&gateway, 1, "--budget-ms 200").await;
    assert!(ran.succeeded(), "{}", ran.printed);
    let report = ran.json();
    assert_eq!(
        (number(&report, "sent"), number(&report, "verdicts"), number(&report, "unsent")),
        (200, 200, 0)
    );
    assert!(number(&report, "delayed") > 50, "{report}");
    assert!(number(&report, "sent_without_budget") > 10, "{report}");
    // The wait counts: latency is from the intended send.
    assert!(report["max_ms"].as_f64().unwrap() >= 890.0, "{}", report["max_ms"]);
    let received = gateway.received();
    let without = received.iter().filter(|received| received.scan.budget == Some(Duration::ZERO)).count();
    assert!(without > 10, "what has no budget left says so");
}

#[tokio::test]
async fn rejected_expired_and_undecided_scans_are_told_apart() {
    let gateway = Gateway::start(|n| match n {
        10..20 => Act::Reject,
        30..35 => Act::Expire,
        40..43 => Act::Decide(Call::Undecided),
        _ => Act::Decide(Call::NoEmbryo),
    })
    .await;
    let ran = simulate(&gateway, "").await;
    assert!(ran.succeeded(), "an answer is an answer: {}", ran.printed);
    let report = ran.json();
    assert_eq!((number(&report, "verdicts"), number(&report, "rejected")), (190, 10));
    assert_eq!((number(&report, "expired"), number(&report, "undecided")), (5, 8));
    assert_eq!(number(&report["undecided_by_reason"], "EXPIRED"), 5);
    assert_eq!(number(&report["undecided_by_reason"], "UNSPECIFIED"), 3);
    assert_eq!(number(&report["rejected_by_code"], "OVERLOADED"), 10);
    assert_eq!(number(&report, "committed"), 190);
}

#[tokio::test]
async fn a_verdict_that_is_never_stored_is_missed_in_the_report() {
    let gateway = Gateway::start(|n| if n == 7 { Act::NeverCommit } else { Act::Decide(Call::Female) }).await;
    let report = simulate(&gateway, "").await.json();
    assert_eq!(
        (number(&report, "verdicts"), number(&report, "committed"), number(&report, "lost")),
        (200, 199, 0)
    );
}

#[tokio::test]
async fn the_warm_up_is_sent_and_not_measured() {
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let ran = simulate(&gateway, "--warmup-seconds 1 --arrivals poisson").await;
    assert!(ran.succeeded());
    let report = ran.json();
    let received = gateway.received().len() as u64;
    let measured = number(&report, "sent");
    assert!(received > measured + 100 && measured > 100, "{measured} of {received} were measured");
    assert_eq!(number(&report, "committed"), measured);
}

#[tokio::test]
async fn a_person_sees_a_line_a_second_and_a_report() {
    let gateway = Gateway::start(|n| if n == 3 { Act::Break } else { Act::Decide(Call::Female) }).await;
    let url = &gateway.url;
    let ran =
        ovomesh(&format!("--gateway {url} simulate --rate 50 --seconds 2 --distinct 4 --scanners 2")).await;
    assert!(ran.succeeded(), "{}", ran.printed);
    let text = &ran.printed;
    assert_eq!(text.matches("  time   sent/s").count(), 1, "{text}");
    assert!(text.contains("\n   1 s ") && text.contains("\n   2 s "), "{text}");
    assert!(
        text.contains("sent       100 = 100 verdicts + 0 rejected; 0 lost, 0 answered twice, 0 unsent"),
        "{text}"
    );
    assert!(text.contains("intended send to verdict") && text.contains("4 distinct eggs"), "{text}");
    assert!(text.contains("1 broken, 1 reconnected"), "{text}");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_named_before_phantoms_are_made() {
    let ran = ovomesh("--gateway http://127.0.0.1:9 simulate --distinct 4").await;
    assert_eq!(ran.printed, "", "nothing is made for nobody");
    let error = ran.result.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:9") && error.contains("refused"), "{error}");
}
