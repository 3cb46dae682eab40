//! Gateways, stages and the operator together: a surge, from the first scan to the new replicas that work on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{Call, UndecidedReason};
use ovomesh_testkit::Process;
use ovomesh_tests::{Answer, Session, scan};
use serde_json::json;

use crate::kubelet::{Kubelet, addresses};
use crate::world::{Namespace, Test, World};

pub const TESTS: &[Test] =
    &[("a_surge_brings_replicas_and_they_get_work", a_surge_brings_replicas_and_they_get_work)];

/// Scans a second that a replica does. Ten keeps the test within a busy machine; `OVOMESH_TEST_REPLICA_RATE=50` makes the
/// surge the headline's: from 30 to 300 scans a second.
fn replica_rate() -> f64 {
    std::env::var("OVOMESH_TEST_REPLICA_RATE").ok().and_then(|text| text.parse().ok()).unwrap_or(10.0)
}

/// What became of the scans of a scanner.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    answered: AtomicU64,
    judged: AtomicU64,
}

/// Sends `rate` scans a second for as long as `until` says, over one session, and counts what comes back.
async fn scanner(gateway: String, rate: f64, seconds: f64, name: String, counts: Arc<Counts>) {
    let (mut session, _) = Session::open(&gateway).await;
    let begun = tokio::time::Instant::now();
    let total = (rate * seconds) as u64;
    let (mut sent, mut answered) = (0, 0);
    while answered < total {
        let due = begun + Duration::from_secs_f64(sent as f64 / rate);
        tokio::select! {
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
                other => panic!("{other:?}"),
            },
        }
    }
}

/// The mesh of the chart in one namespace, as processes on the addresses of its pods.
struct Mesh {
    _kubelets: Vec<Kubelet>,
    gateways: Vec<Process>,
    _operator: Process,
}

fn start(here: Namespace<'_>) -> Mesh {
    here.install(&["templates/gateway.yaml", "templates/preprocess.yaml", "templates/operator.yaml"]);
    here.install(&["templates/inference.yaml"]);
    let pool = json!({"spec": {
        "minReplicas": 1, "maxReplicas": 16, "scaleDownStabilizationSeconds": 60,
        "expectedScansPerSecond": replica_rate(),
    }})
    .to_string();
    here.kubectl(&["patch", "inferencepool", "inference", "--type=merge", "-p", &pool]).unwrap();
    let kubelets = vec![
        Kubelet::start(here, "preprocess", "ovomesh-preprocess", 7710, &["--threads", "1"]),
        Kubelet::start(
            here,
            "inference",
            "ovomesh-slow-inference",
            7720,
            &["--rate", &replica_rate().to_string()],
        ),
    ];
    let pods = here.world.wait("pods of the gateways", || {
        let pods = addresses(here, "scanner-gateway");
        (pods.len() == 2).then_some(pods)
    });
    let gateways = pods.unwrap().into_iter().map(|(pod, address)| {
        // Nobody stores here: verdicts need no store, and the rows of a few thousand scans may wait.
        let (listen, store) = (format!("{address}:7700"), "http://127.0.0.1:9");
        let flags = [
            "--listen",
            &listen,
            "--instance",
            &pod,
            "--store",
            store,
            "--scanner-lines",
            here.name,
            "--preprocess",
            "kubernetes:///preprocess:grpc",
            "--inference",
            "kubernetes:///inference:grpc",
        ];
        let mut gateway = here.program("scanner-gateway", "scanner-gateway", &flags).unwrap();
        gateway.ready().unwrap();
        gateway
    });
    let gateways = gateways.collect();
    let flags = ["--namespace", here.name, "--listen", "127.0.0.1:0", "--lease-seconds", "3"];
    let operator = here.program("operator", "operator", &flags).unwrap();
    Mesh { _kubelets: kubelets, gateways, _operator: operator }
}

fn a_surge_brings_replicas_and_they_get_work(world: &World) {
    let here = world.namespace("surge");
    let mesh = start(here);
    let urls: Vec<_> = mesh.gateways.iter().map(Process::url).collect();
    let counts = Arc::new(Counts::default());
    let send = |rate: f64, seconds: f64, name: &'static str| {
        let scanners = urls.iter().cloned().enumerate().map(|(n, url)| {
            let name = format!("{name}-{n}");
            world.runtime.spawn(scanner(url, rate / urls.len() as f64, seconds, name, counts.clone()))
        });
        scanners.collect::<Vec<_>>()
    };
    let join = |scanners: Vec<tokio::task::JoinHandle<()>>| {
        world.runtime.block_on(async {
            for scanner in scanners {
                scanner.await.unwrap();
            }
        });
    };
    here.until("the first replica", "deployment", "inference", |found| found["status"]["readyReplicas"] == 1);
    // A quiet quarter of a minute, at half of what one replica does.
    let (quiet, busy) = (0.6 * replica_rate(), 6.0 * replica_rate());
    join(send(quiet, 15.0, "quiet"));
    let judged = counts.judged.load(SeqCst);
    assert!(judged > 0, "scans are judged through EndpointSlices");
    let replicas = |found: &serde_json::Value| found["spec"]["replicas"].as_i64().unwrap_or(0);
    let before = replicas(&here.read("deployment", "inference").unwrap());
    assert!(before <= 3, "{before} replicas for {quiet}/s");
    // Ten times as many.
    let surge = Instant::now();
    let scanners = send(busy, 20.0, "surge");
    let first = here.until("more replicas", "deployment", "inference", |found| replicas(found) > before);
    println!(
        "    surge from {quiet} to {busy}/s: from {before} to {} replicas {:.1} s after its first scan",
        replicas(&first),
        surge.elapsed().as_secs_f64()
    );
    here.until("enough replicas", "deployment", "inference", |found| replicas(found) >= 5);
    println!("    enough of them after {:.1} s", surge.elapsed().as_secs_f64());
    join(scanners);
    let (sent, answered) = (counts.sent.load(SeqCst), counts.answered.load(SeqCst));
    assert_eq!(sent, answered, "every scan is answered");
    println!("    {sent} scans, {} of them judged in time", counts.judged.load(SeqCst));
    // New replicas work: those that are there now are all asked.
    let pods = addresses(here, "inference");
    assert!(pods.len() >= 5);
    let served = |address: &str| {
        let (_, metrics) =
            ovomesh_testkit::get(format!("{address}:7720").parse().unwrap(), "/metrics").ok()?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("ovomesh_mesh_served_total") && line.contains("answered"));
        line?.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let working = pods.values().filter(|address| served(address).is_some_and(|calls| calls > 0.0)).count();
    assert!(working >= 5, "only {working} of {} replicas got work", pods.len());
}
