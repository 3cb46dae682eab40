//! Gateways, stages and the operator together: a surge, from the first scan to the new replicas that work on it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{Call, RejectCode, UndecidedReason};
use ovomesh_tests::{Answer, Session, scan};
use parking_lot::Mutex;
use serde_json::json;

use crate::mesh::{Mesh, Setup};
use crate::world::{Namespace, Test, Watch, World};

pub const TESTS: &[Test] =
    &[("a_surge_brings_replicas_and_they_get_work", a_surge_brings_replicas_and_they_get_work)];

/// Scans a second that a replica does. Ten keeps the test within a busy machine; `OVOMESH_TEST_REPLICA_RATE=50` makes the
/// surge the headline's: from 30 to 300 scans a second.
fn replica_rate() -> f64 {
    std::env::var("OVOMESH_TEST_REPLICA_RATE").ok().and_then(|text| text.parse().ok()).unwrap_or(10.0)
}

/// Scanners at each gateway. A gateway takes only so many scans of a session at once, and a line has 7 a second: two sessions
/// with all of a surge would be held back to what replicas do, and nobody could see what is still to come.
const SESSIONS: usize = 20;

/// What became of the scans of a scanner.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    answered: AtomicU64,
    judged: AtomicU64,
}

/// The replicas that the apiserver has for inference, from now on, each with the moment at which it told so. A question
/// each time would wait for the kubelets, which ask kubectl too while replicas start.
struct Ordered {
    seen: Arc<Mutex<Vec<(Instant, i64)>>>,
    _watch: Watch,
}

impl Ordered {
    fn watch(here: Namespace<'_>) -> Self {
        let seen = Arc::<Mutex<Vec<(Instant, i64)>>>::default();
        let all = seen.clone();
        let watch = here.watch(&["deployment", "inference"], move |found| {
            let replicas = found["spec"]["replicas"].as_i64().unwrap_or(0);
            all.lock().push((Instant::now(), replicas));
        });
        Self { seen, _watch: watch }
    }

    /// When there were at least so many first, and how many.
    fn at_least(&self, replicas: i64) -> Option<(Instant, i64)> {
        let seen = self.seen.lock();
        seen.iter().copied().find(|(_, seen)| *seen >= replicas)
    }
}

/// When a scan that was refused for want of room is sent again, as the contract says.
const AGAIN: Duration = Duration::from_millis(100);

/// Sends `rate` scans a second for so long over one session, the first after a `phase` of the time between two, and counts
/// what comes back.
async fn scanner(gateway: String, rate: f64, phase: f64, seconds: f64, name: String, counts: Arc<Counts>) {
    let (mut session, _) = Session::open(&gateway).await;
    let begun = tokio::time::Instant::now();
    let total = (rate * seconds) as u64;
    let (mut sent, mut answered) = (0, 0);
    let mut again = VecDeque::<(tokio::time::Instant, String)>::new();
    while answered < total {
        let due = begun + Duration::from_secs_f64((sent as f64 + phase) / rate);
        let next = again.front().map_or(due, |(at, _)| *at);
        tokio::select! {
            () = tokio::time::sleep_until(next), if !again.is_empty() => {
                if let Some((_, id)) = again.pop_front() {
                    session.scan(scan(&id)).await;
                }
            }
            () = tokio::time::sleep_until(due), if sent < total => {
                session.scan(scan(&format!("{name}-{sent}"))).await;
                counts.sent.fetch_add(1, SeqCst);
                sent += 1;
            }
            answer = session.decision() => match answer {
                Answer::Verdict(verdict) => {
                    answered += 1;
                    counts.answered.fetch_add(1, SeqCst);
                    if verdict.reason() != UndecidedReason::Expired && verdict.call() != Call::Unspecified {
                        counts.judged.fetch_add(1, SeqCst);
                    }
                }
                Answer::Rejected(rejected) if rejected.code() == RejectCode::Overloaded => {
                    again.push_back((tokio::time::Instant::now() + AGAIN, rejected.scan_id));
                }
                other => panic!("{other:?}"),
            },
        }
    }
}

fn start(here: Namespace<'_>) -> Mesh {
    let pool = json!({
        "minReplicas": 1, "maxReplicas": 16, "scaleDownStabilizationSeconds": 60,
        "expectedScansPerSecond": replica_rate(),
    });
    let rate = ["--rate".to_owned(), replica_rate().to_string()].to_vec();
    let inference = ("ovomesh-slow-inference", rate);
    Mesh::start(here, Setup { gateways: 2, gateway_flags: Vec::new(), preprocess: 2, inference, pool })
}

fn a_surge_brings_replicas_and_they_get_work(world: &World) {
    let here = world.namespace("surge");
    let mesh = start(here);
    let urls = mesh.gateway_urls();
    let counts = Arc::new(Counts::default());
    let send = |rate: f64, seconds: f64, name: &'static str| {
        let sessions = urls.iter().flat_map(|url| vec![url; SESSIONS]).cloned().enumerate();
        let count = (urls.len() * SESSIONS) as f64;
        let scanners = sessions.map(|(n, url)| {
            let (phase, name) = (n as f64 / count, format!("{name}-{n}"));
            world.runtime.spawn(scanner(url, rate / count, phase, seconds, name, counts.clone()))
        });
        scanners.collect::<Vec<_>>()
    };
    let join = |scanners: Vec<tokio::task::JoinHandle<()>>| {
        scanners.into_iter().for_each(|scanner| world.finish(scanner));
    };
    // Quiet, at half of what one replica does, for so long that the begin of it is not the largest noise that is known.
    let (quiet, busy) = (0.6 * replica_rate(), 6.0 * replica_rate());
    join(send(quiet, 45.0, "quiet"));
    let judged = counts.judged.load(SeqCst);
    assert!(judged > 0, "scans are judged through EndpointSlices");
    let ordered = Ordered::watch(here);
    let (_, before) = world.wait("the replicas are known", || ordered.at_least(1)).unwrap();
    assert!(before <= 3, "{before} replicas for {quiet}/s");
    // Ten times as many.
    let surge = Instant::now();
    let scanners = send(busy, 20.0, "surge");
    // Five do what comes; all have the headroom, too.
    let all = (busy * 1.25 / replica_rate()).ceil() as i64;
    for (what, wanted) in [("more", before + 1), ("enough", 5), ("all", all)] {
        let (at, replicas) = world.wait(&format!("{what} replicas"), || ordered.at_least(wanted)).unwrap();
        let seconds = (at - surge).as_secs_f64();
        println!(
            "    from {quiet} to {busy}/s: {what}, {replicas} after {before}, ordered {seconds:.1} s after the first scan"
        );
    }
    join(scanners);
    let (sent, answered) = (counts.sent.load(SeqCst), counts.answered.load(SeqCst));
    assert_eq!(sent, answered, "every scan is answered");
    println!("    {sent} scans, {} of them judged in time", counts.judged.load(SeqCst));
    // New replicas work: those that are there now are all asked.
    let working = mesh.inference.until_ready(world, 5).values().filter(|pod| pod.answered() > 0.0).count();
    assert!(working >= 5, "only {working} replicas got work");
}
