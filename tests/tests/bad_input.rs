//! What is wrong gets one clear answer on its stream, which goes on; neighbours are unharmed.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use ovomesh_api::pb::scan::v1::{Call, Encoding, Place, RejectCode, Row, Scan, UndecidedReason, Verdict};
use ovomesh_api::pb::scanner::v1::{ConnectRequest, Hello, Line, connect_request, connect_response};
use ovomesh_tests::{Answer, Link, Raw, Session, fleet, framed, hello, place, scan};
use prost::Message as _;
use prost_types::Duration;

/// A change to a valid scan, and the answer to it: code, field, and what the text must hold.
type Wrong = (&'static str, fn(&mut Scan), RejectCode, &'static str, &'static [&'static str]);

const TABLE: [Wrong; 20] = [
    ("empty id", |s| s.scan_id.clear(), RejectCode::Invalid, "scan_id", &["missing", "1 to 128 bytes"]),
    ("long id", |s| s.scan_id = "x".repeat(10_240), RejectCode::Invalid, "scan_id", &["10,240 bytes"]),
    ("odd id", |s| s.scan_id = "a b/c".into(), RejectCode::Invalid, "scan_id", &["not allowed"]),
    ("control characters", |s| s.scan_id = "a\n\u{7}".into(), RejectCode::Invalid, "scan_id", &["\\n"]),
    ("odd egg", |s| s.egg_id = "a b".into(), RejectCode::Invalid, "egg_id", &["egg_id"]),
    ("no place", |s| s.place = None, RejectCode::Invalid, "place", &["missing"]),
    ("no site", |s| at(s).site.clear(), RejectCode::Invalid, "place.site", &["missing"]),
    ("high slot", |s| at(s).slot = 10_001, RejectCode::Invalid, "place.slot", &["10001", "0 to 10000"]),
    ("no volume", |s| s.volume = None, RejectCode::Invalid, "volume", &["missing"]),
    ("no columns", |s| image(s).columns = 0, RejectCode::Invalid, "volume.columns", &["8 to 512"]),
    ("huge grid", |s| image(s).rows = u32::MAX, RejectCode::Invalid, "volume.rows", &["4294967295"]),
    (
        "NaN spacing",
        |s| image(s).spacing_x_mm = f64::NAN,
        RejectCode::Invalid,
        "volume.spacing_x_mm",
        &["NaN"],
    ),
    (
        "zero spacing",
        |s| image(s).spacing_z_mm = 0.0,
        RejectCode::Invalid,
        "volume.spacing_z_mm",
        &["0.05 to 20 mm"],
    ),
    (
        "a byte short",
        cut,
        RejectCode::SizeMismatch,
        "volume.samples",
        &["131,071 bytes", "64x64x16 u16 = 131,072", "send it whole"],
    ),
    (
        "no samples",
        |s| image(s).samples.clear(),
        RejectCode::SizeMismatch,
        "volume.samples",
        &["has 0 bytes"],
    ),
    ("other grid", |s| image(s).slices = 15, RejectCode::SizeMismatch, "volume.samples", &["122,880"]),
    (
        "checksum",
        |s| image(s).crc32c = Some(7),
        RejectCode::Checksum,
        "volume.crc32c",
        &["00000007", "send it again"],
    ),
    (
        "no frame",
        |s| image(s).encoding = Encoding::Zstd.into(),
        RejectCode::Encoding,
        "volume.samples",
        &["Zstandard"],
    ),
    ("torn frame", torn, RejectCode::Encoding, "volume.samples", &["cannot be unpacked"]),
    ("purpose", |s| s.purpose = 99, RejectCode::Invalid, "purpose", &["99"]),
];

fn at(scan: &mut Scan) -> &mut Place {
    scan.place.as_mut().unwrap()
}

fn image(scan: &mut Scan) -> &mut ovomesh_api::pb::scan::v1::Volume {
    scan.volume.as_mut().unwrap()
}

fn cut(scan: &mut Scan) {
    let samples = &mut image(scan).samples;
    *samples = samples.slice(1..);
}

/// A frame that states the right size and ends early: only unpacking it tells.
fn torn(scan: &mut Scan) {
    let image = image(scan);
    let frame = zstd::bulk::compress(&image.samples, 1).unwrap();
    image.samples = frame[..frame.len() / 2].to_vec().into();
    image.crc32c = None;
    image.encoding = Encoding::Zstd.into();
}

/// A row that an agent released, with a change.
fn settled(scan_id: &str, change: impl FnOnce(&mut Row)) -> Row {
    let at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
    let verdict = Verdict { scan_id: scan_id.into(), call: Call::Undecided.into(), ..Default::default() };
    let mut row = Row {
        scan_id: scan_id.into(),
        place: Some(place()),
        acquired_at: at,
        received_at: at,
        verdict: Some(verdict),
        ..Default::default()
    };
    change(&mut row);
    row
}

#[tokio::test]
async fn each_wrong_scan_is_answered_once_and_its_neighbours_are_decided() {
    let (mut session, _) = Session::open(&fleet().gateway().unwrap()).await;
    for (n, (name, change, code, field, words)) in TABLE.into_iter().enumerate() {
        let mut wrong = scan(&format!("bad-{n}"));
        change(&mut wrong);
        session.scan(wrong).await;
        let rejected = session.rejected().await;
        assert_eq!((rejected.code(), rejected.field.as_str()), (code, field), "{name}: {rejected:?}");
        // Damage on the way is the only fault here that is not in the scan itself.
        assert_eq!(rejected.retryable, code == RejectCode::Checksum, "{name}");
        assert!(rejected.message.len() < 600 && rejected.value.len() <= 64, "{name}: errors stay small");
        for word in words {
            assert!(rejected.message.contains(word), "{name}: `{word}` is not in `{}`", rejected.message);
        }
        session.scan(scan(&format!("neighbour-{n}"))).await;
        assert_eq!(session.verdict().await.scan_id, format!("neighbour-{n}"));
    }
}

#[tokio::test]
async fn a_volume_over_the_limit_of_its_session_is_refused_on_the_stream() {
    let mut session = Session::connect(&fleet().gateway().unwrap()).await;
    session.hello(Hello { max_volume_bytes: 100_000, ..hello() }).await;
    session.scan(scan("over")).await;
    let rejected = session.rejected().await;
    assert_eq!(rejected.code(), RejectCode::TooLarge);
    assert!(
        rejected.message.contains("131,072") && rejected.message.contains("100,000"),
        "{}",
        rejected.message
    );
}

#[tokio::test]
async fn what_comes_before_hello_or_in_another_version_is_told_what_to_do() {
    let mut session = Session::connect(&fleet().gateway().unwrap()).await;
    session.scan(scan("early")).await;
    let early = session.rejected().await;
    assert_eq!((early.scan_id.as_str(), early.field.as_str()), ("early", "hello"));
    for version in [0, 2, u32::MAX] {
        session.hello(Hello { protocol_version: version, ..hello() }).await;
        let rejected = session.rejected().await;
        assert_eq!(rejected.field, "hello.protocol_version");
        assert!(rejected.limit.starts_with('1'), "{rejected:?}");
    }
    session.send(None).await;
    assert_eq!(session.rejected().await.field, "message");
    session.hello(hello()).await;
    session.hello(hello()).await;
    assert_eq!(session.rejected().await.value, "a second one");
    session.scan(scan("after-all")).await;
    assert_eq!(session.verdict().await.scan_id, "after-all");
}

#[tokio::test]
async fn a_session_sends_only_the_lines_that_it_named() {
    let mut session = Session::connect(&fleet().gateway().unwrap()).await;
    let lines = vec![Line { site: "test".into(), line: "7".into() }];
    session.hello(Hello { lines, ..hello() }).await;
    session.scan(scan("other-line")).await;
    let rejected = session.rejected().await;
    assert_eq!(rejected.code(), RejectCode::NotAllowed);
    assert!(
        rejected.message.contains("test/1") && rejected.message.contains("test/7"),
        "{}",
        rejected.message
    );
}

#[tokio::test]
async fn a_row_of_a_line_that_its_session_did_not_name_is_refused_and_the_next_one_is_stored() {
    let named = vec![Line { site: "test".into(), line: "7".into() }];
    let mut link = Link::open(&fleet().gateway().unwrap(), named).await;
    let other = settled("row-of-another-line", |_| {});
    let refused = link.settle(other).await.unwrap_err();
    assert!(refused.contains("place test/1") && refused.contains("test/7"), "{refused}");
    let own = settled("row-of-its-line", |row| row.place.as_mut().unwrap().line = "7".into());
    assert_eq!(link.settle(own).await, Ok(()));
}

#[tokio::test]
async fn the_texts_of_a_row_are_held_to_the_limits_of_a_scan() {
    let mut link = Link::open(&fleet().gateway().unwrap(), Vec::new()).await;
    let wrong = settled("row-with-a-long-batch", |row| row.batch_id = "x".repeat(129));
    let refused = link.settle(wrong).await.unwrap_err();
    assert!(refused.contains("batch_id") && refused.contains("at most 128 bytes"), "{refused}");
    let escape = settled("row-that-clears-the-screen", |row| {
        row.verdict.as_mut().unwrap().detail = "\u{1b}[2J".into();
    });
    let refused = link.settle(escape).await.unwrap_err();
    assert!(refused.contains("verdict.detail") && !refused.contains('\u{1b}'), "{refused}");
}

#[tokio::test]
async fn the_same_scan_gets_the_same_answer_and_a_reused_id_none() {
    let (mut session, _) = Session::open(&fleet().gateway().unwrap()).await;
    session.scan(scan("again")).await;
    let first = session.verdict().await;
    session.scan(scan("again")).await;
    assert_eq!(session.verdict().await, first, "timings included: it is the same verdict, not a second one");
    let mut other = scan("again");
    let image = image(&mut other);
    image.samples = vec![1; 131_072].into();
    image.crc32c = None;
    session.scan(other).await;
    assert_eq!(session.rejected().await.code(), RejectCode::IdReused);
}

#[tokio::test]
async fn a_spent_budget_is_answered_at_once() {
    let (mut session, _) = Session::open(&fleet().gateway().unwrap()).await;
    for (n, seconds) in [0, -5].into_iter().enumerate() {
        let late = Scan { budget: Some(Duration { seconds, nanos: 0 }), ..scan(&format!("late-{n}")) };
        session.scan(late).await;
        let verdict = session.verdict().await;
        assert_eq!(verdict.reason(), UndecidedReason::Expired);
        assert!(verdict.p_female.is_none() && !verdict.detail.is_empty(), "{verdict:?}");
    }
}

/// A scan whose message is twice what a server takes.
fn huge(scan_id: &str) -> Scan {
    let mut huge = scan(scan_id);
    image(&mut huge).samples = vec![0; 8 << 20].into();
    huge
}

#[tokio::test]
async fn a_message_over_the_limit_is_answered_in_its_place_and_all_others_are_decided() {
    let (mut session, _) = Session::open(&fleet().gateway().unwrap()).await;
    for n in 0..20 {
        session.scan(huge(&format!("huge-{n}"))).await;
        let rejected = session.rejected().await;
        assert_eq!((rejected.code(), rejected.field.as_str()), (RejectCode::TooLarge, "volume.samples"));
        assert_eq!((rejected.scan_id.as_str(), rejected.retryable), (&*format!("huge-{n}"), false));
        assert_eq!(session.site, "test");
        assert!(rejected.message.contains("--max-volume-bytes"), "{}", rejected.message);
        session.scan(scan(&format!("after-huge-{n}"))).await;
        assert_eq!(session.verdict().await.scan_id, format!("after-huge-{n}"));
    }
}

#[tokio::test]
async fn a_message_over_the_limit_before_hello_is_answered_and_hello_still_counts() {
    let mut session = Session::connect(&fleet().gateway().unwrap()).await;
    session.scan(huge("huge-and-early")).await;
    let early = session.rejected().await;
    assert_eq!((early.scan_id.as_str(), early.field.as_str()), ("huge-and-early", "hello"));
    session.hello(hello()).await;
    session.scan(scan("after-huge-and-early")).await;
    assert_eq!(session.verdict().await.scan_id, "after-huge-and-early");
}

/// What cannot be parsed: bytes, status, and what its text must hold.
const UNREADABLE: [(&str, &[u8], tonic::Code, &str); 4] = [
    ("no protobuf", &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff], tonic::Code::InvalidArgument, "could not be parsed"),
    (
        "text that is no UTF-8",
        &[0, 0, 0, 0, 6, 10, 4, 18, 2, 0xc3, 0x28],
        tonic::Code::InvalidArgument,
        "could not be parsed",
    ),
    ("a flag that is none", &[9, 0, 0, 0, 0], tonic::Code::InvalidArgument, "could not be parsed"),
    ("4 GiB to come", &[0, 0xff, 0xff, 0xff, 0xff], tonic::Code::DeadlineExceeded, "nothing more of it"),
];

#[tokio::test]
async fn what_cannot_be_parsed_ends_its_stream_after_the_verdicts_before_it() {
    let gateway = fleet().gateway().unwrap();
    for (n, (name, bytes, code, word)) in UNREADABLE.into_iter().enumerate() {
        let mut raw = Raw::open(&gateway).await;
        raw.message(connect_request::Message::Hello(hello()));
        raw.message(connect_request::Message::Scan(scan(&format!("before-nonsense-{n}"))));
        raw.write(bytes);
        let (answers, status) = raw.answers().await;
        assert_eq!(verdicts(&answers), [format!("before-nonsense-{n}")], "{name}: {answers:?}");
        assert_eq!(status.code(), code, "{name}: {status:?}");
        assert!(status.message().contains(word), "{name}: {status:?}");
    }
}

#[tokio::test]
async fn a_compressed_call_is_refused_and_the_refusal_names_the_encoding() {
    for encoding in ["gzip", "zstd", "deflate"] {
        let raw = Raw::open_with(&fleet().gateway().unwrap(), &[("grpc-encoding", encoding)]).await;
        let status = raw.refusal().await;
        assert_eq!(status.code(), tonic::Code::Unimplemented, "{status:?}");
        assert!(status.message().contains(encoding), "{status:?}");
    }
}

#[tokio::test]
async fn the_time_that_a_scan_takes_to_arrive_is_part_of_its_budget() {
    let mut raw = Raw::open(&fleet().gateway().unwrap()).await;
    raw.message(connect_request::Message::Hello(hello()));
    let budget = Some(Duration { seconds: 0, nanos: 200_000_000 });
    let slow = connect_request::Message::Scan(Scan { budget, ..scan("slow-to-arrive") });
    let whole = framed(&ConnectRequest { message: Some(slow) }.encode_to_vec());
    raw.write(whole.slice(..whole.len() / 2));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    raw.write(whole.slice(whole.len() / 2..));
    raw.half_close();
    let (answers, _) = raw.answers().await;
    let verdict = answers.into_iter().find_map(|answer| match answer {
        connect_response::Message::Verdict(verdict) => Some(verdict),
        _ => None,
    });
    let verdict = verdict.unwrap();
    assert_eq!(verdict.reason(), UndecidedReason::Expired, "{verdict:?}");
    assert!(verdict.timings.unwrap().total_us >= 500_000, "{:?}", verdict.timings);
}

#[tokio::test]
async fn silence_in_mid_message_ends_the_stream_after_the_verdicts_before_it() {
    let gateway = fleet().gateway().unwrap();
    let mut raw = Raw::open(&gateway).await;
    raw.message(connect_request::Message::Hello(hello()));
    raw.message(connect_request::Message::Scan(scan("before-silence")));
    let whole = framed(&scan("never-whole").encode_to_vec());
    raw.write(whole.slice(..whole.len() / 2));
    let (answers, status) = raw.answers().await;
    assert_eq!(verdicts(&answers), ["before-silence"]);
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().contains("nothing more of it arrived for 10 s"), "{status:?}");
}

fn verdicts(answers: &[connect_response::Message]) -> Vec<String> {
    let id = |answer: &connect_response::Message| match answer {
        connect_response::Message::Verdict(verdict) => Some(verdict.scan_id.clone()),
        _ => None,
    };
    answers.iter().filter_map(id).collect()
}

#[tokio::test]
async fn more_scans_than_were_allowed_in_flight_wait_and_are_all_answered() {
    let (mut session, welcome) = Session::open(&fleet().gateway().unwrap()).await;
    let many = 3 * welcome.max_in_flight;
    let mut answered = 0;
    let mut sent = 0;
    while answered < many {
        // At most a channel's worth ahead of the answers, so that this test does not hold all of it in memory.
        while sent < many && sent < answered + 2 * welcome.max_in_flight {
            session.scan(scan(&format!("many-{sent}"))).await;
            sent += 1;
        }
        match session.decision().await {
            Answer::Verdict(_) | Answer::Rejected(_) => answered += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_never_reads_harms_nobody() {
    let gateway = fleet().gateway().unwrap();
    let (mut deaf, _) = Session::open(&gateway).await;
    let shout = async {
        for n in 0..2_000 {
            deaf.scan(scan(&format!("deaf-{n}"))).await;
        }
    };
    let listen = async {
        let (mut session, _) = Session::open(&gateway).await;
        for n in 0..20 {
            session.scan(scan(&format!("beside-deaf-{n}"))).await;
            session.verdict().await;
        }
    };
    // The deaf one is held back or closed; either way the other one is served.
    tokio::select! {
        () = async { shout.await; std::future::pending().await } => {}
        () = listen => {}
    }
}
