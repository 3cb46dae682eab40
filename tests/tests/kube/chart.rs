//! The chart and the plain manifests: installed, changed, taken back, removed.

use ovomesh_testkit::repository;
use serde_json::{Value, json};

use crate::world::{Namespace, Test, World};

pub const TESTS: &[Test] = &[
    (
        "the_chart_installs_upgrades_rolls_back_and_leaves_nothing",
        the_chart_installs_upgrades_rolls_back_and_leaves_nothing,
    ),
    ("values_that_make_no_sense_are_refused", values_that_make_no_sense_are_refused),
    ("the_plain_manifests_are_accepted", the_plain_manifests_are_accepted),
];

fn chart() -> String {
    repository().join("charts/ovomesh").display().to_string()
}

/// The operator's own pod is simulated: a process does its work.
fn operator(here: Namespace<'_>) -> ovomesh_testkit::Process {
    let flags = ["--namespace", here.name, "--listen", "127.0.0.1:0", "--lease-seconds", "3"];
    here.program("operator", "operator", &flags).unwrap()
}

fn until_ready(here: Namespace<'_>, kind: &str, name: &str, replicas: i64) {
    here.until(&format!("{kind} {name} has {replicas} ready"), kind, name, |found| {
        found["status"]["readyReplicas"] == replicas && found["status"]["replicas"] == replicas
    });
}

fn the_chart_installs_upgrades_rolls_back_and_leaves_nothing(world: &World) {
    let here = world.namespace("chart");
    // Nobody provides volumes here.
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "chart"},
        "spec": {"capacity": {"storage": "50Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/none"}},
    });
    here.apply(&volume.to_string()).unwrap();
    let helm = |args: &[&str]| world.cluster().helm(&[args, &["--namespace", "chart"]].concat()).unwrap();
    // Every pod of every part has to be one that a restricted namespace takes.
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    world.cluster().kubectl(&["label", "namespace", "chart", restricted]).unwrap();
    helm(&["install", "mesh", &chart()]);
    let operator = operator(here);
    for (name, replicas) in
        [("scanner-gateway", 2), ("preprocess", 2), ("query", 2), ("operator", 2), ("inference", 2)]
    {
        until_ready(here, "deployment", name, replicas);
    }
    until_ready(here, "statefulset", "results-store", 1);
    assert!(helm(&["test", "mesh"]).contains("Succeeded"));
    helm(&[
        "upgrade",
        "mesh",
        &chart(),
        "--set",
        "image.tag=0.1.1",
        "--set",
        "gateway.replicas=3",
        "--set",
        "inference.pool.minReplicas=3",
    ]);
    until_ready(here, "deployment", "scanner-gateway", 3);
    until_ready(here, "deployment", "inference", 3);
    let image = |name: &str| {
        here.read("deployment", name).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    here.until("the new image of inference", "deployment", "inference", |found| {
        found["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().ends_with(":0.1.1")
    });
    assert!(image("query").as_str().unwrap().ends_with(":0.1.1"));
    helm(&["rollback", "mesh", "1"]);
    until_ready(here, "deployment", "scanner-gateway", 2);
    here.until("the old image of inference", "deployment", "inference", |found| {
        found["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().ends_with(":0.1.0")
    });
    helm(&["uninstall", "mesh"]);
    drop(operator);
    nothing_is_left(here);
}

/// Of all kinds that the chart makes; the volume's claim stays on purpose, and so do the definitions.
fn nothing_is_left(here: Namespace<'_>) {
    let kinds = "deployments,statefulsets,replicasets,pods,services,configmaps,roles,rolebindings,serviceaccounts,poddisruptionbudgets,networkpolicies,horizontalpodautoscalers,inferencepools,secrets";
    let mut left = String::new();
    here.world
        .wait("everything is gone", || {
            left = here.kubectl(&["get", kinds, "-o", "name"]).ok()?;
            let rest: Vec<_> = left
                .lines()
                .filter(|name| !matches!(*name, "serviceaccount/default" | "configmap/kube-root-ca.crt"))
                .collect();
            rest.is_empty().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {left}"));
}

fn values_that_make_no_sense_are_refused(world: &World) {
    let chart = chart();
    for (set, expected) in [
        ("gateway.replicas=0", "gateway/replicas"),
        ("store.kind=postgres", "store/kind"),
        ("store.kind=cql", "nodes"),
        ("image.pullpolicy=Always", "pullpolicy"),
        ("otlpEndpoint=collector", "otlpEndpoint"),
    ] {
        let refused =
            world.cluster().helm(&["template", "mesh", &chart, "--set", set]).expect_err(set).to_string();
        assert!(refused.contains(expected), "{set}: {refused}");
    }
    let lint = world.cluster().helm(&["lint", "--strict", &chart]).unwrap();
    assert!(lint.contains("0 chart(s) failed"), "{lint}");
    // A database with secrets, TLS everywhere, GPUs: all that has a switch is on.
    let all = [
        "store.kind=cql",
        "store.cql.nodes={db-1:9042,db-2:9042}",
        "store.cql.secret=db",
        "store.cql.tlsSecret=db-tls",
        "store.cql.datacenter=dc1",
        "tls.secret=mesh-tls",
        "otlpEndpoint=http://collector:4317",
        "gateway.maxReplicas=5",
        "gateway.serviceType=LoadBalancer",
        "image.pullSecrets={pull}",
        "inference.pool.resources.gpus=1",
        "inference.pool.nodeSelector.gpu=yes",
        "podAnnotations.a=b",
    ];
    let mut args = vec!["template", "mesh", &chart, "--namespace", "default"];
    for set in &all {
        args.extend(["--set", set]);
    }
    let text = world.cluster().helm(&args).unwrap();
    world.cluster().feed(&["apply", "--dry-run=server", "--validate=strict"], &text).unwrap();
}

fn the_plain_manifests_are_accepted(world: &World) {
    for folder in ["k8s/base", "k8s/overlays/dev", "k8s/overlays/production"] {
        let path = repository().join(folder).display().to_string();
        let text = world.cluster().kubectl(&["kustomize", &path]).unwrap();
        let objects: Vec<Value> =
            text.split("\n---\n").filter_map(|one| serde_norway::from_str(one).ok()).collect();
        assert!(objects.len() > 20, "{folder} has {} objects", objects.len());
        let namespaced = objects
            .iter()
            .filter(|one| one["kind"] != "CustomResourceDefinition" && one["kind"] != "Namespace");
        for object in namespaced {
            assert_eq!(object["metadata"]["namespace"], "ovomesh", "{folder}: {object:#}");
        }
    }
    let dev = repository().join("k8s/overlays/dev").display().to_string();
    world
        .cluster()
        .kubectl(&["apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", &dev])
        .unwrap();
    let here = Namespace { world, name: "ovomesh" };
    let _operator = operator(here);
    until_ready(here, "deployment", "inference", 1);
    until_ready(here, "deployment", "scanner-gateway", 1);
    // The production overlay changes what runs.
    let production = repository().join("k8s/overlays/production").display().to_string();
    world
        .cluster()
        .kubectl(&["apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", &production])
        .unwrap();
    until_ready(here, "deployment", "scanner-gateway", 3);
}
