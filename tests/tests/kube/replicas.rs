//! A replica that becomes Ready gets work at once; one that is deleted answers what it has before it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::{Call, UndecidedReason, Verdict};
use ovomesh_tests::{Session, scan};
use serde_json::json;

use crate::kubelet::Life;
use crate::mesh::{Mesh, Setup};
use crate::world::{LIMIT, Test, World};

pub const TESTS: &[Test] = &[(
    "a_new_replica_gets_work_and_a_deleted_one_is_drained_first",
    a_new_replica_gets_work_and_a_deleted_one_is_drained_first,
)];

/// Scans a second of a replica, and of the scanner: with two replicas each has work three quarters of the time, so that
/// a replica that is told to end has something to answer.
const RATES: (f64, f64) = (20.0, 30.0);

/// Sends scans to a gateway until it is told to stop; all verdicts.
pub async fn scanner(gateway: String, stop: Arc<AtomicBool>) -> Vec<Verdict> {
    let (mut session, _) = Session::open(&gateway).await;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / RATES.1));
    let (mut sent, mut verdicts) = (0, Vec::new());
    while !stop.load(SeqCst) || verdicts.len() < sent {
        tokio::select! {
            _ = ticks.tick() => if !stop.load(SeqCst) {
                session.scan(scan(&format!("replicas-{sent}"))).await;
                sent += 1;
            },
            verdict = session.verdict() => verdicts.push(verdict),
        }
    }
    verdicts
}

fn a_new_replica_gets_work_and_a_deleted_one_is_drained_first(world: &World) {
    let here = world.namespace("replicas");
    let rate = ["--rate".to_owned(), RATES.0.to_string()].to_vec();
    let mesh = Mesh::start(
        here,
        Setup {
            gateways: 1,
            gateway_flags: Vec::new(),
            preprocess: 1,
            inference: ("ovomesh-slow-inference", rate),
            pool: json!({"fixedReplicas": 2}),
        },
    );
    let before = mesh.inference.until_ready(world, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let url = mesh.gateway_urls().remove(0);
    let scanning = world.runtime.spawn(scanner(url, stop.clone()));
    world
        .wait("both replicas work", || before.values().all(|pod| pod.answered() > 3.0).then_some(()))
        .unwrap();

    here.kubectl(&["scale", "inferencepool", "inference", "--replicas=3"]).unwrap();
    let new = |(name, pod): (String, Life)| (!before.contains_key(&name)).then_some(pod);
    let found = || mesh.inference.ready().into_iter().find_map(new);
    let pod = world.wait("a new replica", found).unwrap();
    // Looked at closely: what is printed is a time.
    while pod.answered() == 0.0 {
        assert!(pod.ready.unwrap().elapsed() < LIMIT, "no work for the new replica");
        world.pause(Duration::from_millis(5));
    }
    println!("    a new replica had answered a scan {} ms after it was Ready", since(pod.ready.unwrap()));

    let deleted = before.keys().next().unwrap();
    here.kubectl(&["delete", "pod", deleted, "--wait=false"]).unwrap();
    let status = world.wait("the deleted replica ends", || mesh.inference.lives()[deleted].ended).unwrap();
    assert!(status.success(), "it answered all that it had: {status}");
    stop.store(true, SeqCst);
    let verdicts = world.finish(scanning);
    // Not one call was on a stream that broke: the gateway stopped to send before the replica ended.
    let gateway = mesh.gateways.ready().into_values().next().unwrap();
    assert_eq!(gateway.counter("ovomesh_mesh_losses_total", "inference"), 0.0);
    assert!(verdicts.iter().all(|verdict| verdict.call() != Call::Unspecified));
    let late = verdicts.iter().filter(|verdict| verdict.reason() == UndecidedReason::Expired).count();
    println!("    {} scans, {late} of them late", verdicts.len());
    assert!(verdicts.iter().all(|verdict| verdict.reason() != UndecidedReason::Failed));
}

fn since(at: Instant) -> u128 {
    at.elapsed().as_millis()
}
