//! Valid sessions, mutated: each scan gets one answer, neighbours are unharmed, and the gateway's memory stays flat.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use ovomesh_api::pb::scan::v1::{Call, Place, Scan, Volume};
use ovomesh_tests::{Answer, Session, fleet, scan};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One change to a scan.
#[derive(Debug, Clone)]
enum Mutation {
    None,
    Id(String),
    Text(u8, String),
    Dims([u32; 3]),
    Spacing([f64; 3]),
    Rescale(Option<f64>, Option<f64>),
    Enums(i32, i32, i32),
    Cut(usize),
    Flip(usize, u8),
    Budget(i64, i32),
    Time(i64, i32),
    NoPlace,
    NoVolume,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation::*;
    let number =
        prop_oneof![any::<f64>(), Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(1e-300)];
    let small = prop_oneof![0u32..600, any::<u32>()];
    prop_oneof![
        4 => Just(None),
        1 => ".{0,200}".prop_map(Id),
        1 => (any::<u8>(), ".{0,300}").prop_map(|(which, text)| Text(which, text)),
        2 => prop::array::uniform3(small).prop_map(Dims),
        2 => prop::array::uniform3(number.clone()).prop_map(Spacing),
        1 => (prop::option::of(number.clone()), prop::option::of(number)).prop_map(|(a, b)| Rescale(a, b)),
        1 => (any::<i32>(), -1i32..4, -1i32..4).prop_map(|(a, b, c)| Enums(a, b, c)),
        2 => (0usize..131_072).prop_map(Cut),
        2 => (0usize..131_072, 1u8..).prop_map(|(at, bits)| Flip(at, bits)),
        1 => (any::<i64>(), any::<i32>()).prop_map(|(s, n)| Budget(s, n)),
        1 => (any::<i64>(), any::<i32>()).prop_map(|(s, n)| Time(s, n)),
        1 => Just(NoPlace),
        1 => Just(NoVolume),
    ]
}

fn mutate(scan: &mut Scan, mutation: Mutation) {
    let image = |scan: &mut Scan, change: &dyn Fn(&mut Volume)| {
        scan.volume.as_mut().map(change);
    };
    match mutation {
        Mutation::None => {}
        Mutation::Id(id) => scan.scan_id = id,
        Mutation::Text(which, text) => match which % 5 {
            0 => scan.egg_id = text,
            1 => scan.batch_id = text,
            2 => scan.rescan_of = text,
            3 => scan.traceparent = text,
            _ => scan.place = Some(Place { site: text.clone(), line: text.clone(), tray_run: text, slot: 7 }),
        },
        Mutation::Dims(d) => image(scan, &|v| [v.columns, v.rows, v.slices] = d),
        Mutation::Spacing(s) => image(scan, &|v| [v.spacing_x_mm, v.spacing_y_mm, v.spacing_z_mm] = s),
        Mutation::Rescale(slope, intercept) => {
            image(scan, &|v| (v.rescale_slope, v.rescale_intercept) = (slope, intercept));
        }
        Mutation::Enums(purpose, handedness, encoding) => {
            scan.purpose = purpose;
            image(scan, &|v| (v.handedness, v.encoding) = (handedness, encoding));
        }
        Mutation::Cut(at) => image(scan, &|v| v.samples = v.samples.slice(..at)),
        Mutation::Flip(at, bits) => image(scan, &|v| {
            let mut samples = v.samples.to_vec();
            samples[at] ^= bits;
            v.samples = samples.into();
        }),
        Mutation::Budget(seconds, nanos) => scan.budget = Some(prost_types::Duration { seconds, nanos }),
        Mutation::Time(seconds, nanos) => scan.acquired_at = Some(prost_types::Timestamp { seconds, nanos }),
        Mutation::NoPlace => scan.place = None,
        Mutation::NoVolume => scan.volume = None,
    }
}

/// Sends mutated scans with a valid one behind each, and counts the answers.
async fn session(round: usize, mutations: Vec<Mutation>) {
    let (mut session, _) = Session::open(&fleet().gateway().unwrap()).await;
    let mut expected = HashMap::<String, usize>::new();
    for (n, mutation) in mutations.into_iter().enumerate() {
        let mut mutated = scan(&format!("mutated-{round}-{n}"));
        mutate(&mut mutated, mutation);
        let valid = scan(&format!("valid-{round}-{n}"));
        for scan in [mutated, valid] {
            *expected.entry(shown(&scan.scan_id)).or_default() += 1;
            session.scan(scan).await;
        }
    }
    session.half_close();
    loop {
        let id = match session.decision().await {
            Answer::Verdict(verdict) => {
                if verdict.scan_id.starts_with("valid") {
                    assert_eq!(verdict.call(), Call::Female, "a neighbour was harmed: {verdict:?}");
                }
                verdict.scan_id
            }
            Answer::Rejected(rejected) => rejected.scan_id,
            Answer::Ended => break,
            other => panic!("{other:?}"),
        };
        let left = expected.get_mut(&id).unwrap_or_else(|| panic!("an answer to {id:?}, which was not sent"));
        *left = left.checked_sub(1).unwrap_or_else(|| panic!("{id} was answered twice"));
    }
    assert!(expected.values().all(|left| *left == 0), "not answered: {expected:?}");
}

/// An id as answers repeat it: control characters made visible, at most 128 bytes.
fn shown(id: &str) -> String {
    ovomesh_api::Invalid::field("scan_id", "", "").rejected(id).scan_id
}

#[test]
fn every_mutated_scan_is_answered_once_and_its_neighbours_are_decided() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = fleet().get("scanner-gateway").unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let round = std::cell::Cell::new(0);
    // What the first sessions take (buffers, thread stacks, repeats that are remembered) stays; later ones take no more.
    let warm = std::cell::Cell::new(0);
    runner
        .run(&prop::collection::vec(mutation(), 1..24), |mutations| {
            round.set(round.get() + 1);
            runtime.block_on(session(round.get(), mutations));
            if round.get() == 10 {
                warm.set(gateway.usage().resident);
            }
            Ok(())
        })
        .unwrap();
    let grown = gateway.usage().resident.saturating_sub(warm.get());
    assert!(grown < 32 << 20, "the gateway grew by {} MiB in 30 sessions", grown >> 20);
}
