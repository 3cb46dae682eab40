//! All inference and gateway processes are replaced, one by one, as a Deployment does, while scanners go on behind
//! agents: nothing is lost, and no verdict is late.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::query::v1::GetScanRequest;
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::scan::v1::{DecidedBy, UndecidedReason, Verdict};
use ovomesh_testkit::Process;
use ovomesh_tests::{Answer, Session, programs, scan, stored};
use serde_json::json;
use tonic::transport::Endpoint;

use crate::kubelet::Kubelet;
use crate::mesh::{Mesh, Setup, process};
use crate::service::Service;
use crate::world::{LIMIT, Namespace, Test, World};

pub const TESTS: &[Test] =
    &[("a_rolling_restart_loses_nothing_and_is_late_for_nothing", a_rolling_restart_loses_nothing)];

/// Scans a second, over all agents.
const RATE: f64 = 100.0;
const AGENTS: usize = 2;

/// Milliseconds that a verdict may take. Ten seconds keep the test within a busy machine; `OVOMESH_TEST_BUDGET_MS=2000` is
/// what lines have by default.
fn budget_ms() -> u64 {
    std::env::var("OVOMESH_TEST_BUDGET_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What a scanner was told.
#[derive(Default)]
struct Told {
    sent: HashMap<String, Instant>,
    accepted: HashSet<String>,
    verdicts: HashMap<String, (Verdict, Duration)>,
    committed: HashSet<String>,
}

impl Told {
    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Accepted(id) => assert!(self.accepted.insert(id)),
            Answer::Verdict(verdict) => {
                let (id, took) = (verdict.scan_id.clone(), self.sent[&verdict.scan_id].elapsed());
                assert!(
                    self.verdicts.insert(id.clone(), (*verdict, took)).is_none(),
                    "{id} was decided twice"
                );
            }
            Answer::Committed(id) => assert!(self.committed.insert(id)),
            other => panic!("{other:?}"),
        }
    }
}

/// Sends its part of [`RATE`] to an agent until it is told to stop, and hears until all is stored.
async fn scanner(agent: String, name: String, stop: Arc<AtomicBool>) -> Told {
    let (mut session, _) = Session::open(&agent).await;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(AGENTS as f64 / RATE));
    let mut told = Told::default();
    while !stop.load(SeqCst) || told.committed.len() < told.sent.len() {
        tokio::select! {
            _ = ticks.tick() => if !stop.load(SeqCst) {
                let id = format!("{name}-{}", told.sent.len());
                told.sent.insert(id.clone(), Instant::now());
                session.scan(scan(&id)).await;
            },
            answer = session.answer() => told.hear(answer),
        }
    }
    told
}

/// Waits until an agent's scans are judged by the mesh: its first link took some time.
async fn linked(agent: String, which: usize) {
    let (mut session, _) = Session::open(&agent).await;
    for n in 0.. {
        session.scan(scan(&format!("first-{n}-of-{which}"))).await;
        if session.verdict().await.decided_by() == DecidedBy::Mesh {
            return;
        }
    }
}

/// Replaces all pods of a Deployment, and waits until the old ones are gone.
fn restart(here: Namespace<'_>, name: &str, kubelet: &Kubelet) {
    let old = kubelet.ready();
    let begun = Instant::now();
    here.kubectl(&["rollout", "restart", &format!("deployment/{name}")]).unwrap();
    let ended = || {
        let lives = kubelet.lives();
        old.keys().map(|pod| lives[pod].ended).collect::<Option<Vec<_>>>()
    };
    let ended = here.world.wait(&format!("the old pods of {name} end"), ended).unwrap();
    assert!(ended.iter().all(std::process::ExitStatus::success), "all drained in time: {ended:?}");
    println!("    {} pods of {name} were replaced in {:.1} s", old.len(), begun.elapsed().as_secs_f64());
}

fn a_rolling_restart_loses_nothing(world: &World) {
    let here = world.namespace("rolling");
    let folder = here.folder();
    let lines = folder.join("lines.yaml");
    std::fs::write(&lines, format!("default: {{ budget_ms: {} }}", budget_ms())).unwrap();
    let models = text(programs().models());
    let mesh = Mesh::start(
        here,
        Setup {
            gateways: 2,
            gateway_flags: ["--lines", &text(&lines)].map(str::to_owned).to_vec(),
            preprocess: 1,
            inference: (
                "ovomesh-inference",
                ["--threads", "1", "--models", &models].map(str::to_owned).to_vec(),
            ),
            pool: json!({"fixedReplicas": 2}),
        },
    );
    mesh.inference.until_ready(world, 2);
    let query = process(here, "query", "query", &["--store", &mesh.store.url()]);
    let service = Service::start(here, "scanner-gateway");
    let agents = (1..=AGENTS).map(|n| {
        let (name, spool) = (format!("agent-{n}"), text(&folder.join(format!("spool-{n}"))));
        let flags = ["--gateways", &service.url, "--spool", &spool, "--lines", &text(&lines)];
        process(here, "scanner-agent", &name, &flags)
    });
    let agents: Vec<_> = agents.collect();
    world.runtime.block_on(async {
        for (n, agent) in agents.iter().enumerate() {
            tokio::time::timeout(LIMIT, linked(agent.url(), n)).await.expect("a link in time");
        }
    });

    let stop = Arc::new(AtomicBool::new(false));
    let start = |(n, agent): (usize, &Process)| {
        world.runtime.spawn(scanner(agent.url(), format!("rolling-{n}"), stop.clone()))
    };
    let scanners: Vec<_> = agents.iter().enumerate().map(start).collect();
    world.pause(Duration::from_secs(3));
    restart(here, "inference", &mesh.inference);
    restart(here, "scanner-gateway", &mesh.gateways);
    world.pause(Duration::from_secs(3));
    stop.store(true, SeqCst);
    let told: Vec<_> = scanners.into_iter().map(|scanner| world.finish(scanner)).collect();
    audit(world, &query, &told);
}

/// What was accepted was decided by the mesh in time, and is stored as it was told.
fn audit(world: &World, query: &Process, told: &[Told]) {
    let mut took: Vec<Duration> = Vec::new();
    world.runtime.block_on(async {
        let channel = Endpoint::from_shared(query.url()).unwrap().connect().await.unwrap();
        let mut query = QueryServiceClient::new(channel);
        for told in told {
            assert_eq!(told.sent.len(), told.accepted.len());
            assert_eq!(told.sent.len(), told.verdicts.len());
            for (id, (verdict, after)) in &told.verdicts {
                assert_eq!(verdict.decided_by(), DecidedBy::Mesh, "{id} after {after:?}: {verdict:?}");
                let late = [UndecidedReason::Expired, UndecidedReason::Failed].contains(&verdict.reason());
                assert!(!late, "{id} after {after:?}: {verdict:?}");
                let found = query
                    .get_scan(GetScanRequest { scan_id: id.clone(), ..Default::default() })
                    .await
                    .unwrap();
                let row = stored(&found.into_inner().row.unwrap());
                assert_eq!(row.verdict.as_ref(), Some(verdict));
                took.push(*after);
            }
        }
    });
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_millis();
    println!(
        "    {} scans, all judged and stored; verdicts after {} ms (median), {} ms (p99), {} ms (last) of {} ms",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        budget_ms()
    );
}
