//! The custom resources: accepted, explained, and strict.

use serde_json::{Value, json};

use crate::world::{Test, World};

pub const TESTS: &[Test] = &[
    ("every_field_is_explained", every_field_is_explained),
    ("what_makes_no_sense_is_refused_by_name", what_makes_no_sense_is_refused_by_name),
    ("a_line_of_kubectl_tells_the_truth", a_line_of_kubectl_tells_the_truth),
    ("kubectl_scale_pins_a_pool", kubectl_scale_pins_a_pool),
];

fn pool(name: &str, spec: &Value) -> String {
    let mut full = json!({"image": "none.invalid/ovomesh:1"});
    full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "ovomesh.dev/v1alpha1", "kind": "InferencePool", "metadata": {"name": name}, "spec": full})
        .to_string()
}

fn line(spec: &Value) -> String {
    let name = "line";
    json!({"apiVersion": "ovomesh.dev/v1alpha1", "kind": "ScannerLine", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

fn every_field_is_explained(world: &World) {
    let explain = |what: &str| world.cluster().kubectl(&["explain", what, "--recursive"]).unwrap();
    for kind in ["inferencepool", "scannerline"] {
        assert!(explain(&format!("{kind}.spec")).len() > 500);
        let text =
            world.cluster().kubectl(&["get", "crd", &format!("{kind}s.ovomesh.dev"), "-o", "json"]).unwrap();
        let crd: Value = serde_json::from_str(&text).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            described(&schema["properties"][part], &format!("{kind}.{part}"));
        }
    }
    let headroom = world.cluster().kubectl(&["explain", "inferencepool.spec.headroom"]).unwrap();
    assert!(headroom.contains("1.25 keeps a fifth of them free"), "{headroom}");
}

/// Every property has a description.
fn described(schema: &Value, at: &str) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 3), "{at} is not explained");
        described(property, &at);
    }
    if schema["items"].is_object() {
        described(&schema["items"], at);
    }
}

fn what_makes_no_sense_is_refused_by_name(world: &World) {
    let here = world.namespace("resources");
    let window = |from: &str, to: &str, replicas: u32| json!([{"name": "w", "from": from, "to": to, "replicas": replicas}]);
    let pools = [
        (json!({"minReplicas": 5, "maxReplicas": 4}), "minReplicas may not be above maxReplicas"),
        (json!({"maxReplicas": 0, "minReplicas": 0}), "spec.maxReplicas"),
        (json!({"fixedReplicas": 11}), "fixedReplicas may not be above maxReplicas"),
        (json!({"headroom": 0.5}), "spec.headroom"),
        (json!({"expectedScansPerSecond": 0}), "expectedScansPerSecond has to be above 0"),
        (json!({"targetDrainSeconds": 0}), "targetDrainSeconds has to be at least 0.05"),
        (json!({"targetDrainSeconds": 61}), "spec.targetDrainSeconds"),
        (json!({"scaleDownStabilizationSeconds": 4000}), "spec.scaleDownStabilizationSeconds"),
        (json!({"schedule": window("25:00", "26:00", 1)}), "spec.schedule[0].from"),
        (json!({"schedule": window("06:00", "06:00", 1)}), "from and to of a window may not be the same"),
        (json!({"schedule": window("06:00", "07:00", 11)}), "replicas of a schedule window"),
        (json!({"fallback": {"mode": "AtLeast"}}), "fallback AtLeast needs replicas"),
        (json!({"fallback": {"mode": "Perhaps"}}), "spec.fallback.mode"),
        (json!({"resources": {"cpu": "two"}}), "cpu must be a quantity"),
        (json!({"resources": {"memory": "0"}}), "memory must be a quantity above 0"),
        (json!({"model": {"url": "s3://models"}}), "url and sha256 come together"),
        (json!({"model": {"name": "../etc"}}), "spec.model.name"),
        (json!({"headrom": 1.5}), "headrom"),
    ];
    for (spec, expected) in pools {
        let refused = here.apply(&pool("bad", &spec)).expect_err(&spec.to_string()).to_string();
        assert!(refused.contains(expected), "{spec}: {refused}");
    }
    here.apply(&pool("kept", &json!({}))).unwrap();
    let moved = here.apply(&pool("kept", &json!({"pool": "shadow"}))).unwrap_err().to_string();
    assert!(moved.contains("pool may not change"), "{moved}");
    let lines = [
        (json!({"site": "n"}), "spec.line"),
        (json!({"site": "", "line": "1"}), "spec.site"),
        (json!({"site": "n", "line": "1", "budgetms": 100}), "budgetms"),
        (json!({"site": "n", "line": "1", "policy": {"costs": {"x": 1}}}), "costs.x"),
    ];
    for (spec, expected) in lines {
        let refused = here.apply(&line(&spec)).expect_err(&spec.to_string()).to_string();
        assert!(refused.contains(expected), "{spec}: {refused}");
    }
    here.apply(&line(&json!({"site": "n", "line": "1", "quarantined": true, "policy": {"min_snr": 5.5}})))
        .unwrap();
    let moved = here.apply(&line(&json!({"site": "n", "line": "2"}))).unwrap_err().to_string();
    assert!(moved.contains("site and line may not change"), "{moved}");
    let stored = here.read("scannerline", "line").unwrap();
    assert_eq!(
        stored["spec"]["policy"],
        json!({"min_snr": 5.5}),
        "defaults are the gateway's, not written down"
    );
}

fn a_line_of_kubectl_tells_the_truth(world: &World) {
    let here = world.namespace("columns");
    here.apply(&pool("p", &json!({"maxReplicas": 7}))).unwrap();
    let status =
        json!({"status": {"replicas": 3, "ready": 2, "demand": "120.0/s", "backlog": 4, "reason": "Surge"}});
    let patch = status.to_string();
    here.kubectl(&["patch", "inferencepool", "p", "--subresource=status", "--type=merge", "-p", &patch])
        .unwrap();
    let table = here.kubectl(&["get", "ipool"]).unwrap();
    let words: Vec<_> = table.split_whitespace().collect();
    let (head, row) = words.split_at(words.iter().position(|word| *word == "p").unwrap());
    assert_eq!(head, ["NAME", "REPLICAS", "READY", "MAX", "DEMAND", "BACKLOG", "MISS-IN", "WHY", "AGE"]);
    assert_eq!(row[..7], ["p", "3", "2", "7", "120.0/s", "4", "Surge"], "{table}");
    here.apply(&line(&json!({"site": "north", "line": "1", "owner": "acme", "quarantined": true}))).unwrap();
    let table = here.kubectl(&["get", "scannerlines"]).unwrap();
    assert!(table.contains("QUARANTINED") && table.contains("acme") && table.contains("true"), "{table}");
}

fn kubectl_scale_pins_a_pool(world: &World) {
    let here = world.namespace("pin");
    here.apply(&pool("p", &json!({}))).unwrap();
    here.kubectl(&["scale", "inferencepool", "p", "--replicas=4"]).unwrap();
    assert_eq!(here.read("inferencepool", "p").unwrap()["spec"]["fixedReplicas"], 4);
}
