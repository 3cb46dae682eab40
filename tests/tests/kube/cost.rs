//! What the operator costs where there is much to look after.

use std::time::{Duration, Instant};

use ovomesh_testkit::Process;
use serde_json::json;

use crate::operator::Scene;
use crate::world::{Test, World};

pub const TESTS: &[Test] = &[(
    "a_thousand_lines_and_two_hundred_pods_cost_little",
    a_thousand_lines_and_two_hundred_pods_cost_little,
)];

const LINES: usize = 1_000;
/// How long is measured.
const STEADY: Duration = Duration::from_secs(20);

fn writes(operator: &Process) -> f64 {
    let (_, metrics) = ovomesh_testkit::get(operator.address(), "/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with("ovomesh_operator_writes_total"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

fn a_thousand_lines_and_two_hundred_pods_cost_little(world: &World) {
    let scene = Scene::new(
        world,
        "cost",
        2,
        &json!({"maxReplicas": 250, "fixedReplicas": 200, "resources": {"cpu": "100m"}}),
    );
    let lines: Vec<_> = (0..LINES).map(|n| json!({
        "apiVersion": "ovomesh.dev/v1alpha1", "kind": "ScannerLine", "metadata": {"name": format!("line-{n}")},
        "spec": {"site": format!("site-{}", n / 10), "line": (n % 10).to_string()},
    })).collect();
    scene.here.apply(&json!({"apiVersion": "v1", "kind": "List", "items": lines}).to_string()).unwrap();
    let operator = scene.operator("one");
    scene.gateways.rate(1_000.0);
    scene.here.until("200 pods are ready", "deployment", "inference", |found| {
        found["status"]["readyReplicas"] == 200
    });
    // Lines are still being told, some at a time: the dearest time there is.
    let (before, used, begun) = (writes(&operator), operator.usage().cpu, Instant::now());
    world.pause(STEADY);
    let seconds = begun.elapsed().as_secs_f64();
    let (usage, rate) = (operator.usage(), (writes(&operator) - before) / seconds);
    let core = (usage.cpu - used).as_secs_f64() / seconds * 100.0;
    println!(
        "    {LINES} lines, 200 pods: {core:.1} % of a core, {} MiB at most, {rate:.1} writes/s",
        usage.peak >> 20
    );
    assert!(usage.peak < 128 << 20, "{} MiB", usage.peak >> 20);
    assert!(rate <= 10.0, "{rate} writes a second");
}
