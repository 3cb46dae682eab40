//! Behind an agent no accepted scan is lost, whatever dies: in the end each has one stored row, which says what was released.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use ovomesh_api::ScanKey;
use ovomesh_api::pb::query::v1::{GetScanRequest, ListScansRequest};
use ovomesh_api::pb::scan::v1::{Call, DecidedBy, Place, Purpose, RejectCode, Row, Scan, UndecidedReason};
use ovomesh_api::pb::scanner::v1::connect_request::Message as Up;
use ovomesh_api::pb::scanner::v1::{Line, TrayClosed, TrayOpened};
use ovomesh_api::pb::sorter::v1::{RejectReason, Released, Start};
use ovomesh_api::pb::spool::v1::Recorded;
use ovomesh_bootstrap::status::pb::GetStatusRequest;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_spool::{Limits, Spool};
use ovomesh_testkit::{Fleet, Shape, step_clock, wrong_clock};
use ovomesh_tests::{Answer, Answers, LIMIT, Session, Sorter, place, programs, query, scan, start, stored};
use prost::Message as _;

const AGENT: &str = "scanner-agent-1";

fn edge() -> Fleet {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    fleet.add_agent(AGENT).unwrap();
    fleet
}

async fn open(fleet: &Fleet) -> Session {
    Session::open(&fleet.get(AGENT).unwrap().url()).await.0
}

/// Sends `count` scans, lets something happen when a half of them is sent, and receives answers until all have a
/// verdict or the stream breaks.
async fn send(fleet: &mut Fleet, name: &str, count: usize, midway: impl FnOnce(&mut Fleet)) -> Answers {
    let mut session = open(fleet).await;
    let (mut answers, mut midway, mut sent) = (Answers::default(), Some(midway), 0);
    while answers.verdicts.len() < count {
        while sent < count && sent < answers.verdicts.len() + 32 {
            session.scan(scan(&format!("{name}-{sent}"))).await;
            sent += 1;
            if sent == count / 2
                && let Some(midway) = midway.take()
            {
                midway(fleet);
            }
        }
        if !answers.receive(session.answer().await) {
            break;
        }
    }
    answers
}

/// Waits until each accepted scan is stored, and compares the row with the verdict that was released.
async fn all_stored(fleet: &Fleet, answers: &Answers) {
    let mut query = query(fleet).await;
    for id in &answers.accepted {
        let row = until_stored(&mut query, id).await;
        let stored = row.verdict.unwrap();
        if let Some(verdict) = answers.verdicts.get(id) {
            assert_eq!(&stored, verdict, "the store says something else than was released");
        }
    }
}

type Query = ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient<tonic::transport::Channel>;

async fn until_stored(query: &mut Query, id: &str) -> Row {
    let begun = Instant::now();
    loop {
        match query.get_scan(GetScanRequest { scan_id: id.into(), ..Default::default() }).await {
            Ok(found) => return stored(&found.into_inner().row.unwrap()),
            Err(status) => {
                assert!(begun.elapsed() < LIMIT, "{id} is not stored within {LIMIT:?}: {status:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_scan_is_accepted_decided_and_stored_and_a_repeat_gets_the_same_answer() {
    let fleet = edge();
    let mut session = open(&fleet).await;
    session.scan(scan("one")).await;
    assert!(matches!(session.answer().await, Answer::Accepted(id) if id == "one"));
    let verdict = session.verdict().await;
    assert_eq!(verdict.decided_by(), DecidedBy::Mesh);
    assert!(matches!(session.answer().await, Answer::Committed(id) if id == "one"));
    session.scan(scan("one")).await;
    assert_eq!(session.verdict().await, verdict, "the same, timings included");
    assert!(matches!(session.answer().await, Answer::Committed(id) if id == "one"));
    let mut other = scan("one");
    let volume = other.volume.as_mut().unwrap();
    (volume.samples, volume.crc32c) = (vec![1; 131_072].into(), None);
    session.scan(other).await;
    assert_eq!(session.rejected().await.code(), RejectCode::IdReused);
    fleet.stop().unwrap();
}

#[tokio::test]
async fn a_scan_whose_image_can_never_be_computed_is_rejected_once_and_its_egg_is_stored_as_undecided() {
    let fleet = edge();
    let mut session = open(&fleet).await;
    let broken = |id: &str| {
        let mut scan = Scan { purpose: Purpose::Production.into(), ..scan(id) };
        scan.volume.as_mut().unwrap().samples.truncate(1_000);
        scan
    };
    let url = fleet.get(AGENT).unwrap().url();
    let (mut sorter, _) = Sorter::open(&url, start()).await.unwrap();
    for _ in 0..2 {
        session.scan(broken("short")).await;
        let rejected = session.rejected().await;
        assert_eq!((rejected.code(), rejected.retryable), (RejectCode::SizeMismatch, false));
        assert_eq!((rejected.field.as_str(), rejected.value.as_str()), ("volume.samples", "1,000"));
    }
    assert_eq!(sorter.released().await, "short", "its tray is complete");
    let mut query = query(&fleet).await;
    let verdict = until_stored(&mut query, "short").await.verdict.unwrap();
    assert_eq!((verdict.call(), verdict.reason()), (Call::Undecided, UndecidedReason::Rejected));
    assert!(verdict.detail.contains("1,000 bytes"), "{}", verdict.detail);
    // What was decided stands: the egg may be scanned again, under another id.
    session.scan(scan("short")).await;
    let reused = session.rejected().await;
    assert!(reused.code() == RejectCode::IdReused && reused.message.contains("rescan_of"), "{reused:?}");

    // Damage on the way says nothing of the image: sent again whole, it is decided.
    let mut damaged = scan("damaged");
    damaged.volume.as_mut().unwrap().crc32c = Some(1);
    session.scan(damaged).await;
    assert_eq!(session.rejected().await.code(), RejectCode::Checksum);
    session.scan(scan("damaged")).await;
    assert_eq!(session.verdict().await.call(), Call::Female);
    // Nor has a scan a row that cannot say whose it is.
    session.scan(Scan { place: None, ..broken("nowhere") }).await;
    assert_eq!(session.rejected().await.field, "place");
    let unknown =
        query.get_scan(GetScanRequest { scan_id: "nowhere".into(), ..Default::default() }).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_scan_whose_message_is_too_large_is_stored_as_undecided_and_the_line_goes_on() {
    let fleet = edge();
    let mut session = open(&fleet).await;
    let huge = |id: &str| {
        let mut scan = Scan { rescan_of: "an-earlier-one".into(), ..scan(id) };
        scan.volume.as_mut().unwrap().samples = vec![0; 8 << 20].into();
        scan
    };
    for n in 0..20 {
        session.scan(huge("huge")).await;
        let rejected = session.rejected().await;
        assert_eq!((rejected.code(), rejected.field.as_str()), (RejectCode::TooLarge, "volume.samples"));
        assert_eq!((rejected.scan_id.as_str(), rejected.retryable), ("huge", false));
        session.scan(scan(&format!("after-huge-{n}"))).await;
        assert_eq!(session.verdict().await.call(), Call::Female);
    }
    let row = until_stored(&mut query(&fleet).await, "huge").await;
    assert!(row.unreadable && row.rescan_of == "an-earlier-one", "{row:?}");
    assert_eq!((row.purpose(), row.egg_id.as_str()), (Purpose::Test, "egg-of-huge"));
    assert_eq!(row.verdict.unwrap().reason(), UndecidedReason::Rejected);
    // A scan that cannot say whose it is has no row.
    session.scan(Scan { place: None, ..huge("huge-nowhere") }).await;
    assert_eq!(session.rejected().await.code(), RejectCode::TooLarge);
    session.scan(scan("after-huge-nowhere")).await;
    assert_eq!(session.verdict().await.call(), Call::Female);
}

/// The same scan again, long after: an agent that has forgotten it is one that never knew it. Its own time is an hour old.
#[tokio::test]
async fn a_scan_that_comes_again_when_its_agent_has_forgotten_it_leaves_its_row_as_it_is() {
    const OTHER: &str = "scanner-agent-2";
    let mut fleet = edge();
    fleet.add_agent(OTHER).unwrap();
    let old = |id: &str| {
        let acquired_at = Some(prost_types::Timestamp { seconds: now() - 3_600, nanos: 0 });
        Scan { acquired_at, ..scan(id) }
    };
    let mut query = query(&fleet).await;
    let (again, undecided) = (old("again"), old("undecided"));
    let mut session = open(&fleet).await;
    session.scan(again.clone()).await;
    let released = session.verdict().await;
    fleet.get("preprocess-1").unwrap().freeze().unwrap();
    session.scan(undecided.clone()).await;
    assert_eq!(session.verdict().await.reason(), UndecidedReason::Expired);
    fleet.get("preprocess-1").unwrap().thaw().unwrap();
    let first = [until_stored(&mut query, "again").await, until_stored(&mut query, "undecided").await];

    let (mut session, _) = Session::open(&fleet.get(OTHER).unwrap().url()).await;
    let mut late = Vec::new();
    let mut committed = 0;
    for scan in [again, undecided] {
        session.scan(scan).await;
    }
    while committed < 2 {
        match session.answer().await {
            Answer::Verdict(verdict) => late.push(verdict),
            Answer::Committed(_) => committed += 1,
            Answer::Accepted(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(late.iter().find(|late| late.scan_id == "again").unwrap().call(), released.call());
    let second = [until_stored(&mut query, "again").await, until_stored(&mut query, "undecided").await];
    assert_eq!(first, second, "the first rows stand, to the last field");
    // What differs from the row is kept for people, with the reason.
    let failed = fleet.folder().join(OTHER).join("failed");
    let reason = std::fs::read_to_string(failed.join("test_undecided.reason")).unwrap();
    assert!(reason.contains("stored before with another decision, which stands"), "{reason}");
    assert!(failed.join("test_undecided.row").exists() && !failed.join("test_again.row").exists());
    until_failed(&fleet.get(OTHER).unwrap().url(), 1).await;
    let line = ListScansRequest { site: "test".into(), line: "1".into(), ..Default::default() };
    let from = Some(prost_types::Timestamp { seconds: now() - 7_200, nanos: 0 });
    let rows = query.list_scans(ListScansRequest { from, ..line }).await.unwrap().into_inner().rows;
    assert_eq!(rows.len(), 2, "{rows:?}");
}

/// Waits until an agent's status says that it keeps this many refused rows.
async fn until_failed(agent: &str, count: u32) {
    let channel = tonic::transport::Endpoint::from_shared(agent.to_owned()).unwrap().connect().await.unwrap();
    let mut client = StatusServiceClient::new(channel);
    let begun = Instant::now();
    loop {
        let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
        let failed = status.details.get("failed").cloned().unwrap_or_default();
        if failed.starts_with(&format!("{count} in ")) && !failed.ends_with(" 0 bytes") {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{failed:?}, and not {count}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn systemd_is_told_that_the_agent_serves_is_alive_and_leaves() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    let path = fleet.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let variables = [("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "200000".into())];
    fleet.set_variables(AGENT, variables.map(|(name, value)| (name.to_owned(), value)).to_vec());
    fleet.add_agent(AGENT).unwrap();
    let notified = |what: &str| {
        let mut buffer = [0; 256];
        for _ in 0..1_000 {
            let length = socket.recv(&mut buffer).unwrap();
            if buffer[..length].starts_with(what.as_bytes()) {
                return;
            }
        }
        panic!("{what} is not among the notifications");
    };
    notified("READY=1");
    notified("WATCHDOG=1");
    notified("WATCHDOG=1");
    fleet.get_mut(AGENT).unwrap().terminate().unwrap();
    notified("STOPPING=1");
}

#[tokio::test]
async fn a_killed_agent_goes_on_with_what_it_had_accepted() {
    let mut fleet = edge();
    let answers = send(&mut fleet, "agent", 200, |fleet| fleet.get_mut(AGENT).unwrap().kill().unwrap()).await;
    assert!(
        answers.accepted.len() >= 50 && answers.accepted.len() < 200,
        "{} accepted",
        answers.accepted.len()
    );
    fleet.restart(AGENT).unwrap();
    all_stored(&fleet, &answers).await;
    let again = send(&mut fleet, "after", 20, |_| ()).await;
    all_stored(&fleet, &again).await;
}

#[tokio::test]
async fn a_killed_gateway_costs_no_scan_and_no_row() {
    let mut fleet = edge();
    let answers = send(&mut fleet, "gateway", 200, |fleet| {
        fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
        fleet.restart("scanner-gateway").unwrap();
    })
    .await;
    assert_eq!(answers.verdicts.len(), 200);
    all_stored(&fleet, &answers).await;
}

#[tokio::test]
async fn without_a_gateway_every_egg_gets_its_undecided_in_time_and_its_row_later() {
    let mut fleet = edge();
    fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
    let answers = send(&mut fleet, "alone", 40, |_| ()).await;
    for verdict in answers.verdicts.values() {
        assert_eq!((verdict.call(), verdict.reason()), (Call::Undecided, UndecidedReason::Expired));
        assert_eq!(verdict.decided_by(), DecidedBy::Timeout);
    }
    assert_eq!((answers.verdicts.len(), answers.committed.len()), (40, 0));
    fleet.restart("scanner-gateway").unwrap();
    all_stored(&fleet, &answers).await;
}

#[tokio::test]
async fn without_a_store_verdicts_go_on_and_their_rows_arrive_after_even_a_restart_of_the_agent() {
    let mut fleet = edge();
    fleet.get_mut("results-store").unwrap().kill().unwrap();
    let answers = send(&mut fleet, "storeless", 40, |_| ()).await;
    assert!(answers.verdicts.values().all(|verdict| verdict.decided_by() == DecidedBy::Mesh));
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    fleet.restart("results-store").unwrap();
    all_stored(&fleet, &answers).await;
}

#[tokio::test]
async fn everything_killed_at_once_keeps_every_accepted_scan() {
    let mut fleet = edge();
    let mut names: Vec<String> = fleet.processes().map(|(name, _)| name.to_owned()).collect();
    // The store first: query is not ready without it, and a restart waits for readiness.
    names.sort_by_key(|name| name != "results-store");
    let answers = send(&mut fleet, "all", 200, |fleet| {
        for name in &names {
            fleet.get_mut(name).unwrap().kill().unwrap();
        }
    })
    .await;
    for name in &names {
        fleet.restart(name).unwrap();
    }
    assert!(!answers.accepted.is_empty());
    all_stored(&fleet, &answers).await;
}

#[tokio::test]
async fn an_agent_that_restarts_goes_on_with_what_is_left_of_a_scans_time() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines.yaml");
    std::fs::write(&lines, "default: { budget_ms: 60000 }").unwrap();
    let mut fleet = Fleet::start(&programs(), Shape { lines: Some(lines), ..Shape::default() }).unwrap();
    fleet.add_agent(AGENT).unwrap();
    fleet.get("preprocess-1").unwrap().freeze().unwrap();
    let mut session = open(&fleet).await;
    session.scan(scan("patient")).await;
    assert!(matches!(session.answer().await, Answer::Accepted(id) if id == "patient"));
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.get("preprocess-1").unwrap().thaw().unwrap();
    fleet.restart(AGENT).unwrap();
    let row = until_stored(&mut query(&fleet).await, "patient").await;
    assert_eq!(row.verdict.unwrap().decided_by(), DecidedBy::Mesh);
}

#[tokio::test]
async fn a_sorter_is_told_every_egg_again_until_it_has_acted_whatever_was_killed() {
    let mut fleet = edge();
    let url = fleet.get(AGENT).unwrap().url();
    let egg = |id: &str| Scan { purpose: Purpose::Production.into(), ..scan(id) };
    let mut session = open(&fleet).await;
    let (mut sorter, following) = Sorter::open(&url, start()).await.unwrap();
    assert_eq!(following.unacknowledged, 0);
    session.scan(scan("a test is nothing for a sorter".replace(' ', "-").as_str())).await;
    session.verdict().await;
    for id in ["one", "two"] {
        session.scan(egg(id)).await;
        assert_eq!(sorter.released().await, id);
    }
    sorter.actuated("one").await;
    let (mut display, _) = Sorter::open(&url, Start { from_now: true, ..start() }).await.unwrap();
    drop(sorter);
    session.scan(egg("three")).await;
    assert_eq!(display.released().await, "three");
    let (mut sorter, _) = Sorter::open(&url, start()).await.unwrap();
    assert_eq!((sorter.released().await, sorter.released().await), ("two".into(), "three".into()));
    until_waiting(&url, 2).await;
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    let (mut sorter, following) = Sorter::open(&url, start()).await.unwrap();
    let again = [sorter.released().await, sorter.released().await];
    assert_eq!((again, following.unacknowledged), (["two", "three"].map(String::from), 2));
    let nowhere = Sorter::open(&url, Start { line: None, ..start() }).await.err().unwrap();
    assert!(nowhere.message().contains("place.site"), "{nowhere:?}");
}

#[tokio::test]
async fn a_sorter_that_errs_hears_of_it_and_goes_on() {
    let fleet = edge();
    let url = fleet.get(AGENT).unwrap().url();
    let (mut sorter, _) = Sorter::open(&url, start()).await.unwrap();
    let unknown_line = sorter.rejected().await;
    assert_eq!((unknown_line.reason(), unknown_line.scan_id.as_str()), (RejectReason::UnknownLine, ""));
    assert!(unknown_line.message.contains("line test/1 is not known"), "{}", unknown_line.message);
    assert!(unknown_line.message.contains("knows local/1"), "{}", unknown_line.message);
    let mut session = open(&fleet).await;
    session.scan(Scan { purpose: Purpose::Production.into(), ..scan("sorted") }).await;
    assert_eq!(sorter.released().await, "sorted", "a line may appear later");

    let long = "x".repeat(1_000);
    for unknown in ["never-scanned", "no id", &long] {
        sorter.actuated(unknown).await;
        let rejected = sorter.rejected().await;
        assert_eq!(rejected.reason(), RejectReason::UnknownScan, "{unknown}");
        assert!(rejected.message.contains(&unknown[..4]) && rejected.message.len() < 500, "{rejected:?}");
        assert!(unknown.starts_with(rejected.scan_id.trim_end_matches("...")), "{rejected:?}");
    }
    for _ in 0..2 {
        sorter.actuated_into("sorted", "hatch").await;
    }
    sorter.actuated_into("sorted", "cull").await;
    let rejected = sorter.rejected().await;
    assert_eq!((rejected.reason(), rejected.scan_id.as_str()), (RejectReason::OtherLane, "sorted"));
    assert!(rejected.message.contains("\"hatch\"") && rejected.message.contains("\"cull\""), "{rejected:?}");

    // A line with a verdict is known, and another one still is not.
    let (mut second, following) = Sorter::open(&url, start()).await.unwrap();
    assert_eq!(following.unacknowledged, 0);
    second.actuated_into("sorted", "cull").await;
    assert_eq!(second.rejected().await.reason(), RejectReason::OtherLane, "no word about the line");
    let line = Some(Line { site: "test".into(), line: "9".into() });
    let (mut lost, _) = Sorter::open(&url, Start { line, ..start() }).await.unwrap();
    let message = lost.rejected().await.message;
    assert!(message.contains("knows local/1, test/1;"), "{message}");
    fleet.stop().unwrap();
}

#[tokio::test]
async fn trays_are_answered_or_rejected_by_their_field() {
    let fleet = edge();
    for server in [fleet.gateway().unwrap(), fleet.get(AGENT).unwrap().url()] {
        let tray = |slot| Place { slot, ..place() };
        let opened = |slot, eggs| Some(Up::TrayOpened(TrayOpened { place: Some(tray(slot)), eggs }));
        let mut early = Session::connect(&server).await;
        early.send(opened(0, 150)).await;
        assert_eq!(early.rejected().await.field, "hello");
        let (mut session, _) = Session::open(&server).await;
        session.send(opened(0, 150)).await;
        let Answer::Tray(accepted) = session.answer().await else { panic!("no TrayAccepted") };
        assert_eq!(
            (accepted.tray_run.as_str(), accepted.closed, session.site.as_str()),
            ("t", false, "test")
        );
        for (slot, eggs, field) in [(1, 150, "place.slot"), (0, 10_001, "eggs")] {
            session.send(opened(slot, eggs)).await;
            let rejected = session.rejected().await;
            assert_eq!((rejected.field.as_str(), rejected.scan_id.as_str()), (field, ""));
            assert!(rejected.message.starts_with(field), "{}", rejected.message);
        }
        session.send(Some(Up::TrayClosed(TrayClosed { place: Some(tray(0)), eggs: 149 }))).await;
        assert!(matches!(session.answer().await, Answer::Tray(tray) if tray.closed));
        session.scan(scan("of-a-tray")).await;
        session.verdict().await;
    }
    fleet.stop().unwrap();
}

/// Waits until so many verdicts wait for their sorter: until the agent has heard all that was said before.
async fn until_waiting(agent: &str, count: u32) {
    let begun = Instant::now();
    loop {
        let (_, following) = Sorter::open(agent, start()).await.unwrap();
        if following.unacknowledged == count {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{} wait, and not {count}", following.unacknowledged);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Half of the kills come while the store is away, so that nothing is known to be stored.
#[tokio::test]
async fn an_agent_that_is_killed_again_and_again_tells_again_only_what_nobody_acted_on_and_how_old_it_is() {
    const EGGS: usize = 12;
    let mut fleet = edge();
    let url = fleet.get(AGENT).unwrap().url();
    let mut releases = HashMap::<String, u32>::new();
    // Of the last round: when their scans were sent, when they were released, and how old they were then.
    let mut left = HashMap::<String, (Instant, Instant, Duration)>::new();
    for round in 0..6 {
        if round == 3 {
            fleet.get_mut("results-store").unwrap().kill().unwrap();
        }
        let following_since = Instant::now();
        let (mut sorter, following) = Sorter::open(&url, start()).await.unwrap();
        assert_eq!(following.unacknowledged as usize, left.len(), "round {round}");
        while !left.is_empty() {
            let again = sorter.verdict().await;
            let (now, id) = (age_of(&again), again.verdict.unwrap().scan_id);
            let (sent, told_at, age) = left.remove(&id).expect("one that nobody acted on, once");
            // Two roundings to milliseconds.
            let (least, most) = (following_since - told_at + age, sent.elapsed());
            let rounding = Duration::from_millis(2);
            assert!(now + rounding >= least && now <= most + rounding, "{least:?} <= {now:?} <= {most:?}");
            *releases.get_mut(&id).unwrap() += 1;
            sorter.actuated(&id).await;
        }
        let mut session = open(&fleet).await;
        let sent = Instant::now();
        for n in 0..EGGS {
            let id = format!("{round}-{n}");
            session.scan(Scan { purpose: Purpose::Production.into(), ..scan(&id) }).await;
        }
        for n in 0..EGGS {
            let released = sorter.verdict().await;
            let (age, id) = (age_of(&released), released.verdict.unwrap().scan_id);
            *releases.entry(id.clone()).or_default() += 1;
            if n < EGGS / 2 {
                sorter.actuated(&id).await;
            } else {
                left.insert(id, (sent, Instant::now(), age));
            }
        }
        until_waiting(&url, left.len().try_into().unwrap()).await;
        fleet.get_mut(AGENT).unwrap().kill().unwrap();
        fleet.restart(AGENT).unwrap();
    }
    let (once, twice): (Vec<_>, Vec<_>) = releases.values().partition(|times| **times == 1);
    // The last half of the last round was released once so far.
    assert_eq!(
        (once.len(), twice.len(), twice.iter().copied().max()),
        (6 * 6 + 6, 5 * 6, Some(&2)),
        "{releases:?}"
    );
}

fn age_of(released: &Released) -> Duration {
    Duration::from_millis(released.age_ms.into())
}

/// The agent's records are changed to what they would be, as that takes two minutes.
#[tokio::test]
async fn an_agent_that_was_away_for_too_long_tells_no_sorter_what_it_had_recorded_and_stores_all_of_it() {
    let mut fleet = edge();
    let url = fleet.get(AGENT).unwrap().url();
    let egg = |id: &str| Scan { purpose: Purpose::Production.into(), ..scan(id) };
    let mut answers = Answers::default();
    let mut session = open(&fleet).await;
    for id in ["stored-old", "stored-before", "stored-fresh"] {
        session.scan(egg(id)).await;
    }
    while answers.committed.len() < 3 {
        assert!(answers.receive(session.answer().await));
    }
    fleet.get_mut("results-store").unwrap().kill().unwrap();
    for id in ["old", "before", "rebooted", "fresh"] {
        session.scan(egg(id)).await;
    }
    while answers.verdicts.len() < 7 {
        assert!(answers.receive(session.answer().await));
    }
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    let limits = Limits { scan_bytes: 1 << 30, verdict_bytes: 1 << 30 };
    let (spool, recorded) = Spool::open(&fleet.folder().join(AGENT), limits).unwrap();
    assert_eq!((recorded.settled.len(), recorded.unsettled.len()), (3, 4));
    let mut all: Vec<_> = recorded.settled.iter().map(|of| (true, of)).collect();
    all.extend(recorded.unsettled.iter().map(|of| (false, of)));
    // They are on disk in the order of recording.
    all.sort_by_key(|(_, released)| {
        ScanKey::from_record(&released.entry.id).is_some_and(|key| key.scan_id.as_str().ends_with("fresh"))
    });
    for (is_settled, released) in all {
        let bytes = spool.verdict(released).unwrap();
        let (row, mut of) = (Row::decode(bytes.clone()).unwrap(), Recorded::decode(bytes).unwrap());
        let at = of.at.as_mut().unwrap();
        match row.scan_id.as_str() {
            "old" | "stored-old" => at.at_ms = at.at_ms.checked_sub(121_000).expect("up for two minutes"),
            "rebooted" => at.boot_id = "another".into(),
            // As version 0.1.0 wrote it.
            "before" | "stored-before" => of.at = None,
            _ => {}
        }
        let changed = [row.encode_to_vec(), of.encode_to_vec()].concat();
        spool.forget(released);
        let mut again = spool.release(&row.scan_id, changed.into()).await.unwrap();
        if is_settled {
            spool.committed(&mut again).await.unwrap();
        }
    }
    drop(spool);
    fleet.restart(AGENT).unwrap();
    let (mut sorter, following) = Sorter::open(&url, start()).await.unwrap();
    let fresh = HashSet::from([sorter.released().await, sorter.released().await]);
    assert_eq!(
        (fresh, following.unacknowledged),
        (HashSet::from(["stored-fresh".into(), "fresh".into()]), 2)
    );
    fleet.restart("results-store").unwrap();
    all_stored(&fleet, &answers).await;
    let mut session = open(&fleet).await;
    session.scan(egg("next")).await;
    assert_eq!(sorter.released().await, "next", "nothing comes late");
}

#[tokio::test]
async fn a_spool_whose_agent_never_comes_back_is_stored_by_hand() {
    let mut fleet = edge();
    fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
    let answers = send(&mut fleet, "orphan", 20, |_| ()).await;
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart("scanner-gateway").unwrap();
    let drain = || {
        let mut command = programs().command("ovomesh").unwrap();
        command.args(["--output", "json", "--gateway", &fleet.gateway().unwrap(), "spool", "drain"]);
        let output = command.arg(fleet.folder().join(AGENT)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(drain()["stored"], 20);
    all_stored(&fleet, &answers).await;
    assert_eq!(drain()["stored"], 0, "what is stored is known to be");
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[tokio::test]
async fn an_agent_whose_clock_is_an_hour_off_or_at_1970_keeps_deadlines_and_stores_rows_where_they_belong() {
    for off in [-3_600 * 2, 3_600 * 2, -now()] {
        let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
        fleet.set_variables(AGENT, wrong_clock(fleet.folder(), off).unwrap());
        // The first scans come while the agent knows of no gateway's clock.
        fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
        fleet.add_agent(AGENT).unwrap();
        let mut session = open(&fleet).await;
        session.scan(scan("alone")).await;
        let timed_out = session.verdict().await;
        assert_eq!(timed_out.decided_by(), DecidedBy::Timeout, "the deadline is none of the clock's");
        fleet.restart("scanner-gateway").unwrap();
        let mut query = query(&fleet).await;
        let alone = until_stored(&mut query, "alone").await;
        assert!(alone.clock_suspect, "nobody vouches for its time");
        session.scan(scan("linked")).await;
        assert_eq!(session.verdict().await.decided_by(), DecidedBy::Mesh);
        let row = until_stored(&mut query, "linked").await;
        let (acquired, received) = (row.acquired_at.unwrap().seconds, row.received_at.unwrap().seconds);
        assert!(
            (acquired - now()).abs() < 60 && (received - now()).abs() < 60,
            "off {off}: {acquired}, {received}"
        );
        assert!(!row.clock_suspect);
        // What the scanner itself says is kept, and marked.
        let old = prost_types::Timestamp { seconds: now() - 7_200, nanos: 0 };
        session.scan(Scan { acquired_at: Some(old), ..scan("old") }).await;
        session.verdict().await;
        let row = until_stored(&mut query, "old").await;
        assert_eq!((row.acquired_at, row.clock_suspect), (Some(old), true));
    }
}

#[tokio::test]
async fn a_step_of_the_time_of_day_moves_no_row_and_rows_are_flagged_until_a_gateway_was_asked_again() {
    let mut fleet = Fleet::start(&programs(), Shape::default()).unwrap();
    fleet.set_variables(AGENT, wrong_clock(fleet.folder(), 0).unwrap());
    fleet.add_agent(AGENT).unwrap();
    let mut session = open(&fleet).await;
    let mut query = query(&fleet).await;
    let mut sent = 0;
    for off in [7_200, -7_200, 3] {
        until_trusted(&mut session, &mut query, &mut sent).await;
        step_clock(fleet.folder(), off).unwrap();
        let row = decided(&mut session, &mut query, &mut sent).await;
        assert!(is_right(&row), "off {off}: {row:?}");
        until_trusted(&mut session, &mut query, &mut sent).await;
    }
    fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
    step_clock(fleet.folder(), 7_200).unwrap();
    session.scan(scan("unlinked")).await;
    assert_eq!(session.verdict().await.decided_by(), DecidedBy::Timeout);
    fleet.restart("scanner-gateway").unwrap();
    let row = until_stored(&mut query, "unlinked").await;
    assert!(is_right(&row) && row.clock_suspect, "nobody could say which clock was wrong: {row:?}");
    until_trusted(&mut session, &mut query, &mut sent).await;
}

/// Sends scans until the row of one is not flagged: each has the right time all the while.
async fn until_trusted(session: &mut Session, query: &mut Query, sent: &mut u32) {
    let begun = Instant::now();
    loop {
        let row = decided(session, query, sent).await;
        assert!(is_right(&row), "{row:?}");
        if !row.clock_suspect {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "no gateway was asked for the time within {LIMIT:?}");
    }
}

/// The row of a new scan.
async fn decided(session: &mut Session, query: &mut Query, sent: &mut u32) -> Row {
    *sent += 1;
    let id = format!("stepped-{sent}");
    session.scan(scan(&id)).await;
    session.verdict().await;
    until_stored(query, &id).await
}

/// Whether a row's times are those of this machine.
fn is_right(row: &Row) -> bool {
    [row.acquired_at, row.received_at].iter().all(|at| (at.unwrap().seconds - now()).abs() < 60)
}

#[tokio::test]
async fn an_impossible_time_of_a_scanner_costs_no_egg_its_verdict_and_is_flagged_also_after_a_restart() {
    let mut fleet = edge();
    let impossible = [(now() * 1_000, 0), (now(), -1), (253_402_300_800, 0)];
    let scans = impossible.map(|(seconds, nanos)| {
        let acquired_at = Some(prost_types::Timestamp { seconds, nanos });
        Scan { acquired_at, ..scan(&format!("at-{seconds}-{nanos}")) }
    });
    let ids = scans.clone().map(|scan| scan.scan_id);
    let mut session = open(&fleet).await;
    for scan in scans {
        session.scan(scan).await;
        assert_eq!(session.verdict().await.decided_by(), DecidedBy::Mesh);
    }
    // One that is decided after a restart, from what is on disk.
    fleet.get_mut("scanner-gateway").unwrap().kill().unwrap();
    let acquired_at = Some(prost_types::Timestamp { seconds: now() * 1_000, nanos: 0 });
    session.scan(Scan { acquired_at, ..scan("restarted") }).await;
    assert!(matches!(session.answer().await, Answer::Accepted(id) if id == "restarted"));
    fleet.get_mut(AGENT).unwrap().kill().unwrap();
    fleet.restart(AGENT).unwrap();
    fleet.restart("scanner-gateway").unwrap();
    let mut query = query(&fleet).await;
    for id in ids.iter().map(String::as_str).chain(["restarted"]) {
        let row = until_stored(&mut query, id).await;
        assert_eq!(row.acquired_at, row.received_at, "{id}");
        assert!((row.received_at.unwrap().seconds - now()).abs() < 600 && row.clock_suspect, "{id}: {row:?}");
    }
}
