//! What a scanner is promised, against a server that misbehaves.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use common::{LIMIT, Session, scan, serve};
use ovomesh_client::pb::scan::v1::{RejectCode, Rejected, Scan};
use ovomesh_client::{Error, Event, Keep, Scanner, ScannerConfig, SendError};
use tokio::sync::{Notify, mpsc};
use tonic::{Code, Status};

/// What was reported of each scan, in order, and the sessions that broke.
#[derive(Debug, Default)]
struct Report {
    scans: BTreeMap<String, Vec<&'static str>>,
    broken: Vec<Error>,
    unexpected: Vec<(&'static str, String)>,
    rejected: Vec<Rejected>,
}

impl Report {
    fn take(&mut self, event: Event) {
        let (scan_id, what) = match event {
            Event::Sent { scan_id } => (scan_id, "sent"),
            Event::Accepted { scan_id } => (scan_id, "accepted"),
            Event::Verdict(verdict) => (verdict.scan_id, "verdict"),
            Event::Committed { scan_id } => (scan_id, "committed"),
            Event::Unconfirmed { scan_id } => (scan_id, "unconfirmed"),
            Event::Rejected(rejected) => {
                self.rejected.push(*rejected.clone());
                (rejected.scan_id, "rejected")
            }
            Event::Unexpected { scan_id, answer } => return self.unexpected.push((answer, scan_id)),
            Event::Broken(error) => return self.broken.push(error),
            Event::Opened(_) | Event::Advice(_) => return,
        };
        self.scans.entry(scan_id).or_default().push(what);
    }

    fn of(&self, id: &str) -> Vec<&'static str> {
        self.scans.get(id).cloned().unwrap_or_default()
    }
}

/// Sends scans and follows them to their end.
async fn run(mut scanner: Scanner, scans: impl IntoIterator<Item = Scan>) -> Result<Report, (Report, Error)> {
    for scan in scans {
        scanner.send(scan).unwrap();
    }
    scanner.finish();
    follow(&mut scanner).await
}

async fn follow(scanner: &mut Scanner) -> Result<Report, (Report, Error)> {
    let mut report = Report::default();
    let following = async {
        loop {
            match scanner.next().await {
                Ok(Some(event)) => report.take(event),
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    match tokio::time::timeout(LIMIT, following).await.expect("all is reported within the limit") {
        Ok(()) => Ok(report),
        Err(error) => Err((report, error)),
    }
}

async fn connect(uri: http::Uri) -> Scanner {
    Scanner::connect(ScannerConfig::new(uri)).await.unwrap()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("scan-{n:03}")).collect()
}

fn leaving() -> Status {
    Status::unavailable("this gateway is leaving; connect again")
}

#[tokio::test]
async fn what_has_no_answer_when_the_stream_breaks_is_sent_again_and_every_scan_has_one_outcome() {
    let uri = serve(async |number, mut session: Session| {
        assert_eq!(session.hello.protocol_version, 1);
        session.welcome(256).await?;
        if number < 3 {
            // Takes ten, answers five, stores two of these, and dies.
            let mut came = Vec::new();
            for _ in 0..10 {
                came.push(session.id().await?);
            }
            for id in &came[..5] {
                session.decide(id).await?;
            }
            for id in &came[..2] {
                session.commit(id).await?;
            }
            return Err(leaving());
        }
        session.serve().await
    })
    .await;
    let ids = ids(100);
    let report = run(connect(uri).await, ids.iter().map(|id| scan(id, 512))).await.unwrap();
    assert_eq!(report.broken.len(), 3, "{:?}", report.broken);
    for id in &ids {
        let said = report.of(id);
        let outcomes = said.iter().filter(|what| **what == "verdict").count();
        assert_eq!(outcomes, 1, "{id}: {said:?}");
        assert!(matches!(said.last(), Some(&"committed" | &"unconfirmed")), "{id}: {said:?}");
    }
    let unconfirmed = report.scans.values().filter(|said| said.contains(&"unconfirmed")).count();
    assert_eq!(unconfirmed, 9, "three of five verdicts in each of three sessions");
    assert!(report.unexpected.is_empty());
}

#[tokio::test]
async fn scans_keep_their_order_also_when_they_are_sent_again() {
    let (came, mut order) = mpsc::unbounded_channel();
    let uri = serve(move |number, mut session: Session| {
        let came = came.clone();
        async move {
            session.welcome(8).await?;
            while let Some(scan) = session.scan().await? {
                came.send((number, scan.scan_id.clone())).unwrap();
                if number == 0 && scan.scan_id == "scan-007" {
                    return Err(leaving());
                }
                if number > 0 {
                    session.decide(&scan.scan_id).await?;
                    session.commit(&scan.scan_id).await?;
                }
            }
            Ok(())
        }
    })
    .await;
    run(connect(uri).await, ids(20).iter().map(|id| scan(id, 512))).await.unwrap();
    order.close();
    let mut again = Vec::new();
    while let Some((number, id)) = order.recv().await {
        if number == 1 {
            again.push(id);
        }
    }
    assert_eq!(again, ids(20));
}

#[tokio::test]
async fn never_more_scans_or_bytes_are_unanswered_than_the_server_and_the_config_allow() {
    for (credit, bytes, most) in [(1, u64::MAX, 1), (3, u64::MAX, 3), (256, 1_024, 2), (256, 100, 1)] {
        let uri = serve(move |_, mut session: Session| async move {
            session.welcome(credit).await?;
            let mut unanswered = Vec::new();
            loop {
                // What comes until nothing comes is all that the client lets out.
                match tokio::time::timeout(Duration::from_millis(50), session.scan()).await {
                    Ok(Ok(Some(scan))) => unanswered.push(scan.scan_id),
                    Ok(Ok(None)) if unanswered.is_empty() => return Ok(()),
                    Ok(Err(status)) => return Err(status),
                    Ok(Ok(None)) | Err(_) => {
                        if unanswered.len() > most {
                            return Err(Status::invalid_argument(format!("{unanswered:?}")));
                        }
                        for id in unanswered.drain(..) {
                            session.decide(&id).await?;
                            session.commit(&id).await?;
                        }
                    }
                }
            }
        })
        .await;
        let mut config = ScannerConfig::new(uri);
        config.max_unanswered_bytes = bytes;
        let scanner = Scanner::connect(config).await.unwrap();
        let report = run(scanner, ids(7).iter().map(|id| scan(id, 512))).await.unwrap();
        assert!(ids(7).iter().all(|id| report.of(id) == ["sent", "verdict", "committed"]), "{report:?}");
    }
}

#[tokio::test]
async fn answers_that_come_twice_or_to_nothing_are_no_outcomes() {
    let uri = serve(async |_, mut session: Session| {
        session.welcome(8).await?;
        let id = session.id().await?;
        session.decide("never-sent").await?;
        session.commit(&id).await?;
        session.decide(&id).await?;
        session.decide(&id).await?;
        session.commit(&id).await?;
        session.commit(&id).await?;
        session.serve().await
    })
    .await;
    let report = run(connect(uri).await, [scan("a", 8), scan("b", 8)]).await.unwrap();
    assert_eq!(report.of("a"), ["sent", "verdict", "committed"]);
    assert_eq!(report.of("b"), ["sent", "verdict", "committed"]);
    let expected = [("Verdict", "never-sent"), ("Committed", "a"), ("Verdict", "a"), ("Committed", "a")];
    assert_eq!(report.unexpected, expected.map(|(answer, id)| (answer, id.to_owned())));
}

#[tokio::test]
async fn a_scan_for_which_there_is_no_room_is_sent_again_for_a_while_and_then_rejected() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let uri = serve(move |_, mut session: Session| {
        let tries = counted.clone();
        async move {
            session.welcome(8).await?;
            while let Some(scan) = session.scan().await? {
                let id = scan.scan_id;
                if id == "lucky" && tries.fetch_add(1, SeqCst) >= 3 {
                    session.decide(&id).await?;
                    session.commit(&id).await?;
                    continue;
                }
                let (code, message) = (RejectCode::Overloaded.into(), "no room".into());
                let retryable = id != "wrong";
                session
                    .reject(Rejected { scan_id: id, code, message, retryable, ..Rejected::default() })
                    .await?;
            }
            Ok(())
        }
    })
    .await;
    let mut config = ScannerConfig::new(uri.clone());
    config.retry_overloaded = LIMIT;
    let report =
        run(Scanner::connect(config).await.unwrap(), [scan("wrong", 8), scan("lucky", 8)]).await.unwrap();
    assert_eq!(report.of("lucky"), ["sent", "sent", "sent", "sent", "verdict", "committed"]);
    assert_eq!(report.of("wrong"), ["sent", "rejected"], "what is wrong for good is not sent again");
    let mut config = ScannerConfig::new(uri);
    config.retry_overloaded = Duration::ZERO;
    let report = run(Scanner::connect(config).await.unwrap(), [scan("unlucky", 8)]).await.unwrap();
    assert_eq!(report.of("unlucky"), ["sent", "rejected"]);
}

#[tokio::test]
async fn a_volume_that_the_server_does_not_take_is_rejected_here_and_breaks_no_stream() {
    let uri = serve(async |_, session: Session| {
        session.welcome(8).await?;
        session.serve().await
    })
    .await;
    let report = run(connect(uri).await, [scan("large", (1 << 20) + 1), scan("small", 8)]).await.unwrap();
    assert_eq!(report.of("large"), ["rejected"]);
    assert_eq!(report.of("small"), ["sent", "verdict", "committed"]);
    assert_eq!(report.rejected[0].code(), RejectCode::TooLarge);
    assert!(
        report.rejected[0].message.contains("1,048,577 bytes; this server takes 1,048,576"),
        "{report:?}"
    );
    assert!(report.broken.is_empty());
}

#[tokio::test]
async fn time_that_a_scan_waits_here_is_taken_from_its_budget() {
    let broken = Arc::new(Notify::new());
    let may_go_on = broken.clone();
    let (came, mut budgets) = mpsc::unbounded_channel();
    let uri = serve(move |number, mut session: Session| {
        let (came, may_go_on) = (came.clone(), may_go_on.clone());
        async move {
            if number == 1 {
                may_go_on.notified().await;
            }
            session.welcome(8).await?;
            while let Some(scan) = session.scan().await? {
                came.send(scan.budget).unwrap();
                if number == 0 {
                    return Err(leaving());
                }
                session.decide(&scan.scan_id).await?;
            }
            Ok(())
        }
    })
    .await;
    let mut scanner = connect(uri).await;
    let budget = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    scanner.send(Scan { budget, ..scan("a", 8) }).unwrap();
    scanner.finish();
    let waited = std::time::Instant::now();
    let release = async {
        let first = budgets.recv().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        broken.notify_one();
        (first, budgets.recv().await.unwrap().unwrap())
    };
    let (report, (first, second)) = tokio::join!(follow(&mut scanner), release);
    assert_eq!(report.unwrap().of("a"), ["sent", "sent", "verdict", "unconfirmed"]);
    let left = |budget: prost_types::Duration| budget.seconds as f64 + f64::from(budget.nanos) / 1e9;
    assert!((599.0..=600.0).contains(&left(first)), "{first:?}");
    let spent = left(first) - left(second);
    assert!((0.3..=waited.elapsed().as_secs_f64()).contains(&spent), "{first:?}, then {second:?}");
}

#[tokio::test]
async fn an_accepted_scan_is_sent_again_only_if_its_verdict_is_wanted() {
    for (keep, expected) in [
        (Keep::UntilVerdict, &["sent", "accepted", "sent", "verdict", "committed"][..]),
        (Keep::UntilAccepted, &["sent", "accepted", "unconfirmed"]),
    ] {
        let uri = serve(async |number, mut session: Session| {
            session.welcome(8).await?;
            if number == 0 {
                let id = session.id().await?;
                session.accept(&id).await?;
                return Err(leaving());
            }
            session.serve().await
        })
        .await;
        let mut config = ScannerConfig::new(uri);
        config.keep = keep;
        let report = run(Scanner::connect(config).await.unwrap(), [scan("a", 8)]).await.unwrap();
        assert_eq!(report.of("a"), expected);
    }
}

#[tokio::test]
async fn a_server_that_refuses_hello_is_not_asked_again() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let counted = sessions.clone();
    let uri = serve(move |number, session: Session| {
        counted.fetch_add(1, SeqCst);
        async move {
            if number == 0 {
                session.welcome(8).await?;
                return Err(leaving());
            }
            session.reject(Rejected { message: "this is version 2".into(), ..Rejected::default() }).await
        }
    })
    .await;
    let (report, error) = run(connect(uri.clone()).await, [scan("a", 8)]).await.unwrap_err();
    assert_eq!(report.broken.len(), 1);
    assert!(matches!(error, Error::HelloRefused { .. }) && error.is_final(), "{error}");
    assert!(error.to_string().contains("this is version 2"), "{error}");
    assert_eq!(sessions.load(SeqCst), 2);
    let error = Scanner::connect(ScannerConfig::new(uri)).await.err().expect("the first session is refused");
    assert!(matches!(error, Error::HelloRefused { .. }), "{error}");
}

#[tokio::test]
async fn a_session_without_answers_is_given_up_and_after_some_the_scans_are_given_back() {
    let uri = serve(async |_, mut session: Session| {
        session.welcome(8).await?;
        while session.scan().await?.is_some() {}
        Ok(())
    })
    .await;
    let mut config = ScannerConfig::new(uri);
    config.answer_timeout = Duration::from_millis(50);
    config.max_tries = Some(3);
    let mut scanner = Scanner::connect(config).await.unwrap();
    for id in ids(3) {
        scanner.send(scan(&id, 8)).unwrap();
    }
    let (report, error) = follow(&mut scanner).await.unwrap_err();
    assert_eq!(report.broken.len(), 2);
    assert!(
        matches!(&error, Error::GaveUp { tries: 3, last } if matches!(**last, Error::Late { .. })),
        "{error}"
    );
    let left: Vec<_> = scanner.abandon().into_iter().map(|scan| scan.scan_id).collect();
    assert_eq!(left, ids(3));
}

#[tokio::test]
async fn commits_that_do_not_come_are_not_waited_for_for_ever() {
    let uri = serve(async |_, mut session: Session| {
        session.welcome(8).await?;
        let id = session.id().await?;
        session.decide(&id).await?;
        std::future::pending().await
    })
    .await;
    let mut config = ScannerConfig::new(uri);
    config.commit_timeout = Duration::from_millis(50);
    let report = run(Scanner::connect(config).await.unwrap(), [scan("a", 8)]).await.unwrap();
    assert_eq!(report.of("a"), ["sent", "verdict", "unconfirmed"]);
}

#[tokio::test]
async fn the_next_server_is_tried_after_a_break() {
    let first = serve(async |_, session: Session| {
        session.welcome(8).await?;
        Err(leaving())
    })
    .await;
    let second = serve(async |_, session: Session| {
        session.welcome(8).await?;
        session.serve().await
    })
    .await;
    let mut config = ScannerConfig::new(first);
    config.servers.push(second);
    let report = run(Scanner::connect(config).await.unwrap(), [scan("a", 8)]).await.unwrap();
    assert_eq!(report.broken.len(), 1);
    assert_eq!(report.broken[0].code(), Some(Code::Unavailable));
    assert_eq!(report.of("a").last(), Some(&"committed"));
}

#[tokio::test]
async fn what_cannot_be_taken_is_given_back_with_the_reason() {
    let uri = serve(async |_, session: Session| {
        session.welcome(8).await?;
        std::future::pending().await
    })
    .await;
    let mut config = ScannerConfig::new(uri);
    config.max_waiting = 2;
    let mut scanner = Scanner::connect(config).await.unwrap();
    scanner.send(scan("a", 8)).unwrap();
    assert!(matches!(scanner.send(scan("a", 8)), Err(SendError::InFlight(scan)) if scan.scan_id == "a"));
    scanner.send(scan("b", 8)).unwrap();
    assert!(matches!(scanner.send(scan("c", 8)), Err(SendError::Full(2, scan)) if scan.scan_id == "c"));
    scanner.finish();
    assert!(matches!(scanner.send(scan("d", 8)), Err(SendError::Finished(_))));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_cause() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let uri: http::Uri = format!("http://{address}").parse().unwrap();
    let error = Scanner::connect(ScannerConfig::new(uri)).await.err().expect("nobody listens");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot reach http://{address}: ")), "{text}");
    assert!(text.contains("Connection refused") && !error.is_final(), "{text}");
}
