//! The apiserver is away, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::scan::v1::Call;
use serde_json::json;

use crate::mesh::{Mesh, Setup};
use crate::operator::Scene;
use crate::replicas::scanner;
use crate::world::{Test, World};

pub const TESTS: &[Test] =
    &[("an_apiserver_that_is_away_takes_nothing_away", an_apiserver_that_is_away_takes_nothing_away)];

/// How long it is away: five of the operator's leases. `OVOMESH_TEST_AWAY_SECONDS=60` is the headline's.
fn away() -> Duration {
    let seconds = std::env::var("OVOMESH_TEST_AWAY_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

fn an_apiserver_that_is_away_takes_nothing_away(world: &World) {
    // Beside the operator and its gateways, a mesh that has scans all the time.
    let mesh = Mesh::start(
        world.namespace("scans"),
        Setup {
            gateways: 1,
            gateway_flags: Vec::new(),
            preprocess: 1,
            inference: ("ovomesh-slow-inference", ["--rate", "100"].map(str::to_owned).to_vec()),
            pool: json!({"fixedReplicas": 2}),
        },
    );
    mesh.inference.until_ready(world, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let scans = world.runtime.spawn(scanner(mesh.gateway_urls().remove(0), stop.clone()));
    let scene = Scene::new(world, "away", 1, &json!({}));
    let mut operator = scene.operator("one");
    scene.gateways.rate(200.0);
    let before = scene.until_replicas("replicas for 200/s", |n| n >= 4);
    world.cluster().kill_apiserver().unwrap();
    // Longer than the lease: meanwhile the demand doubles, which the operator sees and cannot obey.
    scene.gateways.rate(400.0);
    world.pause(away());
    world.cluster().restart_apiserver().unwrap();
    let begun = Instant::now();
    assert!(scene.replicas() >= before);
    scene.until_replicas("replicas for 400/s", |n| n >= 8);
    println!(
        "    away for {} s; obeyed {:.1} s after it was back",
        away().as_secs(),
        begun.elapsed().as_secs_f64()
    );
    // The same process: it has waited, and forgotten nothing.
    operator.ready().unwrap();
    scene.here.until("it leads again", "lease", "ovomesh-operator", |lease| {
        lease["spec"]["holderIdentity"] == "one"
    });
    // Gateways went on with the replicas they knew.
    stop.store(true, SeqCst);
    let verdicts = world.finish(scans);
    let judged = verdicts.iter().filter(|verdict| verdict.call() == Call::Female).count();
    println!("    {judged} of {} scans judged meanwhile", verdicts.len());
    assert!(judged * 10 > verdicts.len() * 9);
    let gateway = mesh.gateways.ready().into_values().next().unwrap();
    assert_eq!(gateway.counter("ovomesh_mesh_losses_total", "inference"), 0.0);
}
