//! The apiserver is away, and comes back.

use serde_json::json;

use crate::operator::Scene;
use crate::world::{Test, World};

pub const TESTS: &[Test] =
    &[("an_apiserver_that_is_away_takes_nothing_away", an_apiserver_that_is_away_takes_nothing_away)];

fn an_apiserver_that_is_away_takes_nothing_away(world: &World) {
    let scene = Scene::new(world, "away", 1, &json!({}));
    let mut operator = scene.operator("one");
    scene.gateways.rate(200.0);
    let before = scene.until_replicas("replicas for 200/s", |n| n >= 4);
    world.cluster().kill_apiserver().unwrap();
    // Longer than the lease: meanwhile the demand doubles, which the operator sees and cannot obey.
    scene.gateways.rate(400.0);
    world.pause(std::time::Duration::from_secs(15));
    world.cluster().restart_apiserver().unwrap();
    let begun = std::time::Instant::now();
    assert!(scene.replicas() >= before);
    scene.until_replicas("replicas for 400/s", |n| n >= 8);
    println!("    obeyed {:.1} s after the apiserver was back", begun.elapsed().as_secs_f64());
    // The same process: it has waited, and forgotten nothing.
    operator.ready().unwrap();
    scene.here.until("it leads again", "lease", "ovomesh-operator", |lease| {
        lease["spec"]["holderIdentity"] == "one"
    });
}
