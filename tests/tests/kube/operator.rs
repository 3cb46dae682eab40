//! The operator against a real apiserver, with gateways whose load the test sets.

use std::time::{Duration, Instant};

use ovomesh_testkit::Process;
use serde_json::{Value, json};

use crate::gateways::Gateways;
use crate::world::{Namespace, Test, World};

pub const TESTS: &[Test] = &[
    ("a_pool_gets_its_deployment_and_follows_the_demand", a_pool_gets_its_deployment_and_follows_the_demand),
    ("of_two_pools_only_the_one_with_scans_grows", of_two_pools_only_the_one_with_scans_grows),
    ("gateways_of_0_1_are_read_beside_new_ones", gateways_of_0_1_are_read_beside_new_ones),
    ("the_account_may_do_nothing_else", the_account_may_do_nothing_else),
    ("unseen_gateways_take_nothing_away", unseen_gateways_take_nothing_away),
    (
        "of_two_operators_one_leads_and_the_other_takes_over",
        of_two_operators_one_leads_and_the_other_takes_over,
    ),
    ("a_deployment_edited_by_hand_is_set_back", a_deployment_edited_by_hand_is_set_back),
    ("a_spec_that_cannot_be_obeyed_changes_nothing", a_spec_that_cannot_be_obeyed_changes_nothing),
    ("a_spec_changed_in_mid_surge_is_obeyed_at_once", a_spec_changed_in_mid_surge_is_obeyed_at_once),
    (
        "an_operator_killed_in_mid_roll_out_is_followed_by_one_that_goes_on",
        an_operator_killed_in_mid_roll_out_is_followed_by_one_that_goes_on,
    ),
];

/// A namespace with an operator's account, its gateways, and a pool named `inference`.
pub struct Scene<'a> {
    pub here: Namespace<'a>,
    pub gateways: Gateways,
}

impl<'a> Scene<'a> {
    pub fn new(world: &'a World, name: &'static str, gateways: u32, spec: &Value) -> Self {
        let here = world.namespace(name);
        here.install(&["templates/operator.yaml"]);
        let scene = Self { here, gateways: Gateways::start(here, gateways) };
        scene.pool(spec);
        scene
    }

    /// Sets the spec of the pool that decides.
    pub fn pool(&self, spec: &Value) {
        self.pool_named("inference", spec);
    }

    /// Makes a pool, or sets its spec.
    fn pool_named(&self, name: &str, spec: &Value) {
        let mut full =
            json!({"image": "none.invalid/ovomesh:1", "maxReplicas": 20, "scaleDownStabilizationSeconds": 3});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pool = json!({
            "apiVersion": "ovomesh.dev/v1alpha1", "kind": "InferencePool",
            "metadata": {"name": name}, "spec": full,
        });
        self.here.apply(&pool.to_string()).unwrap();
    }

    pub fn operator(&self, instance: &str) -> Process {
        let flags = [
            "--namespace",
            self.here.name,
            "--listen",
            "127.0.0.1:0",
            "--lease-seconds",
            "3",
            "--instance",
            instance,
        ];
        let mut operator = self.here.program("operator", "operator", &flags).unwrap();
        operator.ready().unwrap();
        operator
    }

    /// Waits until the Deployment asks for as many replicas as wanted.
    pub fn until_replicas(&self, what: &str, wanted: impl Fn(i64) -> bool) -> i64 {
        let found = self.here.until(what, "deployment", "inference", |found| {
            wanted(found["spec"]["replicas"].as_i64().unwrap_or(-1))
        });
        found["spec"]["replicas"].as_i64().unwrap()
    }

    pub fn replicas(&self) -> i64 {
        self.here.read("deployment", "inference").unwrap()["spec"]["replicas"].as_i64().unwrap()
    }

    /// Waits until a condition of the pool has this reason.
    pub fn until_condition(&self, condition: &str, reason: &str) -> Value {
        self.here.until(&format!("{condition} is {reason}"), "inferencepool", "inference", |pool| {
            of(pool, condition)["reason"] == reason
        })
    }

    /// Looks for a while whether the replicas stay at least so many.
    pub fn stays_at_least(&self, replicas: i64, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        self.here
            .world
            .wait("some time to pass", || {
                let now = self.replicas();
                assert!(now >= replicas, "{now} replicas, {replicas} before");
                (Instant::now() > end).then_some(())
            })
            .unwrap();
    }

    fn until_event(&self, reason: &str) -> String {
        self.here
            .world
            .wait(&format!("an event {reason}"), || {
                let events = self.here.kubectl(&["get", "events", "-o", "json"]).ok()?;
                let events: Value = serde_json::from_str(&events).ok()?;
                let found = events["items"].as_array()?.iter().find(|event| event["reason"] == reason)?;
                Some(found["message"].as_str()?.to_owned())
            })
            .unwrap()
    }
}

/// A condition of an object.
pub fn of<'a>(object: &'a Value, condition: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|one| one["type"] == condition).unwrap_or(&Value::Null)
}

fn a_pool_gets_its_deployment_and_follows_the_demand(world: &World) {
    let scene = Scene::new(world, "demand", 2, &json!({"minReplicas": 2}));
    let operator = scene.operator("one");
    scene.until_replicas("the fewest replicas", |n| n == 2);
    scene.gateways.rate(300.0);
    let begun = Instant::now();
    let wanted = scene.until_replicas("replicas for 300/s", |n| n >= 6);
    println!("    300/s after nothing: {wanted} replicas ordered in {:.1} s", begun.elapsed().as_secs_f64());
    let pool = scene.until_condition("Ready", "AllReady");
    assert_eq!(of(&pool, "GatewaysSeen")["reason"], "AllSeen");
    assert_eq!(of(&pool, "Valid")["status"], "True");
    let last = &pool["status"]["lastDecision"];
    assert!(last["message"].as_str().is_some_and(|why| !why.is_empty()), "{pool:#}");
    assert!(scene.until_event("ScaledUp").contains(" replicas: "), "an event says why");
    // One field manager has the replicas, and it is the operator.
    let deployment = scene
        .here
        .kubectl(&["get", "deployment", "inference", "-o", "json", "--show-managed-fields"])
        .unwrap();
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let managers: Vec<_> = deployment["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["fieldsV1"]["f:spec"]["f:replicas"].is_object())
        .map(|entry| (entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap()))
        .collect();
    assert_eq!(managers, [("ovomesh-operator", "Apply")]);
    // And down again, when the demand is gone for long enough: slowly enough to be seen.
    scene.gateways.rate(0.0);
    scene.until_replicas("fewer replicas", |n| n < wanted);
    drop(operator);
    // The Deployment goes with its pool.
    scene.here.kubectl(&["delete", "inferencepool", "inference"]).unwrap();
    world
        .wait("the Deployment is gone", || scene.here.read("deployment", "inference").is_none().then_some(()))
        .unwrap();
}

/// Two gateways that report a second pool, and that pool.
fn with_shadow<'a>(world: &'a World, name: &'static str) -> Scene<'a> {
    let scene = Scene::new(world, name, 2, &json!({}));
    scene.pool_named("shadow", &json!({"pool": "shadow"}));
    scene.gateways.rate_of("shadow", 0.0);
    scene
}

/// Waits until all gateways are seen for a pool, and nothing is asked of its one replica.
fn until_idle(scene: &Scene<'_>, pool: &str) {
    scene.here.until(&format!("{pool} is idle"), "inferencepool", pool, |pool| {
        let status = &pool["status"];
        status["replicas"] == 1 && status["demand"] == "0.0/s"
    });
}

fn of_two_pools_only_the_one_with_scans_grows(world: &World) {
    let scene = with_shadow(world, "two-pools");
    let _operator = scene.operator("operator-1");
    scene.until_condition("GatewaysSeen", "AllSeen");
    scene.gateways.rate(400.0);
    scene.until_replicas("replicas for 400/s", |replicas| replicas >= 8);
    scene.gateways.rate(800.0);
    scene.until_replicas("replicas for 800/s", |replicas| replicas >= 16);
    // The second pool was looked at as often meanwhile.
    until_idle(&scene, "shadow");
    let shadow = scene.here.read("inferencepool", "shadow").unwrap();
    assert_eq!(of(&shadow, "GatewaysSeen")["message"], "2 of 2 gateways report pool shadow");
}

fn gateways_of_0_1_are_read_beside_new_ones(world: &World) {
    let scene = with_shadow(world, "mixed");
    scene.gateways.report_as_0_1(1);
    let _operator = scene.operator("operator-1");
    scene.until_condition("GatewaysSeen", "AllSeen");
    scene.gateways.rate_of("shadow", 400.0);
    let shadow =
        scene.here.until("shadow grows by what the new gateway reports", "inferencepool", "shadow", |pool| {
            pool["status"]["replicas"].as_i64().is_some_and(|replicas| replicas >= 4)
        });
    // The old one knows no second pool: that is not taken for an idle pool.
    let message = "1 of 2 gateways report pool shadow; nothing is taken away";
    assert_eq!(of(&shadow, "GatewaysSeen")["message"], message);
    until_idle(&scene, "inference");
    scene.gateways.rate_of_first(400.0);
    scene.until_replicas("replicas for 400/s at the old gateway", |replicas| replicas >= 8);
}

fn the_account_may_do_nothing_else(world: &World) {
    let here = world.namespace("rights");
    here.install(&["templates/operator.yaml", "templates/gateway.yaml"]);
    let can = |account: &str, namespace: &str, verb: &str, what: &str| {
        let user = format!("system:serviceaccount:rights:{account}");
        // `kind#part` is a part of a kind.
        let (what, part) = what.split_once('#').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        let args = ["auth", "can-i", verb, what, &part, "--as", &user, "-n", namespace];
        world.cluster().kubectl(&args).is_ok_and(|answer| answer.trim() == "yes")
    };
    for (account, verb, what) in [
        ("operator", "patch", "deployments.apps#scale"),
        ("operator", "patch", "inferencepools.ovomesh.dev#status"),
        ("operator", "watch", "endpointslices.discovery.k8s.io"),
        ("operator", "update", "leases.coordination.k8s.io/ovomesh-operator"),
        ("scanner-gateway", "watch", "scannerlines.ovomesh.dev"),
        ("scanner-gateway", "watch", "endpointslices.discovery.k8s.io"),
    ] {
        assert!(can(account, "rights", verb, what), "{account} needs {verb} {what}");
        assert!(!can(account, "default", verb, what), "{account} may not {verb} {what} elsewhere");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("list", "pods"),
        ("create", "pods"),
        ("delete", "deployments.apps"),
        ("delete", "inferencepools.ovomesh.dev"),
        ("patch", "inferencepools.ovomesh.dev"),
        ("update", "leases.coordination.k8s.io/another"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("list", "nodes"),
    ] {
        for account in ["operator", "scanner-gateway", "default"] {
            assert!(!can(account, "rights", verb, what), "{account} may {verb} {what}");
        }
    }
    assert!(!can("scanner-gateway", "rights", "patch", "deployments.apps#scale"));
}

fn unseen_gateways_take_nothing_away(world: &World) {
    let scene = Scene::new(world, "unseen", 2, &json!({}));
    let _operator = scene.operator("one");
    scene.gateways.rate(300.0);
    scene.until_replicas("replicas for 300/s", |n| n >= 6);
    // Half of them say nothing, and the others say that nothing comes.
    scene.gateways.silence(1);
    scene.until_condition("GatewaysSeen", "SomeUnseen");
    let before = scene.replicas();
    scene.gateways.rate(0.0);
    scene.stays_at_least(before, 6);
    // None of them says anything.
    scene.gateways.silence(2);
    scene.stays_at_least(before, 6);
    // There is none any more, as far as Kubernetes knows.
    scene.gateways.announce(scene.here, &[false, false]);
    scene.until_condition("GatewaysSeen", "NoGateways");
    scene.stays_at_least(before, 4);
    // All are there again: what is too much goes.
    scene.gateways.silence(0);
    scene.gateways.announce(scene.here, &[true, true]);
    scene.until_condition("GatewaysSeen", "AllSeen");
    scene.until_replicas("fewer replicas", |n| n < before);
}

fn of_two_operators_one_leads_and_the_other_takes_over(world: &World) {
    let scene = Scene::new(
        world,
        "two",
        1,
        &json!({"scaleDownStabilizationSeconds": 60, "podAnnotations": {"sim/ready-after": "2s"}}),
    );
    let mut one = scene.operator("one");
    let holder = |name: &str| {
        scene.here.until(&format!("{name} leads"), "lease", "ovomesh-operator", |lease| {
            lease["spec"]["holderIdentity"] == name
        })
    };
    holder("one");
    let mut two = scene.operator("two");
    scene.gateways.rate(200.0);
    let wanted = scene.until_replicas("replicas for 200/s", |n| n >= 4);
    // Killed while its replicas start.
    one.kill().unwrap();
    let begun = Instant::now();
    let lease = holder("two");
    println!("    another operator led {:.1} s after the kill (lease of 3 s)", begun.elapsed().as_secs_f64());
    assert!(lease["spec"]["leaseTransitions"].as_i64() >= Some(1), "{lease:#}");
    scene.stays_at_least(wanted, 5);
    // The new one has learnt the demand, and obeys it.
    scene.gateways.rate(600.0);
    scene.until_replicas("replicas for 600/s", |n| n >= 12);
    // One that ends in good order gives the lease away at once.
    let three = scene.operator("three");
    assert!(two.terminate().unwrap().success(), "{}", two.log());
    holder("three");
    drop(three);
}

fn a_deployment_edited_by_hand_is_set_back(world: &World) {
    let scene = Scene::new(world, "edited", 1, &json!({"minReplicas": 3}));
    let _operator = scene.operator("one");
    scene.until_replicas("the fewest replicas", |n| n == 3);
    scene.until_condition("Ready", "AllReady");
    scene.here.kubectl(&["scale", "deployment", "inference", "--replicas=1"]).unwrap();
    assert!(scene.until_event("EditedByHand").contains("spec.fixedReplicas"));
    scene.until_replicas("set back", |n| n == 3);
    scene.here.kubectl(&["set", "image", "deployment/inference", "inference=other:2"]).unwrap();
    scene.here.until("the image is set back", "deployment", "inference", |found| {
        found["spec"]["template"]["spec"]["containers"][0]["image"] == "none.invalid/ovomesh:1"
    });
    // What the operator does not set is left alone.
    scene.here.kubectl(&["annotate", "deployment", "inference", "team=vision"]).unwrap();
    // The pin is the way to do it by hand, below minReplicas too.
    scene.here.kubectl(&["scale", "inferencepool", "inference", "--replicas=2"]).unwrap();
    scene.until_replicas("pinned", |n| n == 2);
    let found = scene.here.read("deployment", "inference").unwrap();
    assert_eq!(found["metadata"]["annotations"]["team"], "vision");
    scene
        .here
        .kubectl(&[
            "patch",
            "inferencepool",
            "inference",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/spec/fixedReplicas"}]"#,
        ])
        .unwrap();
    scene.until_replicas("scaled again", |n| n == 3);
}

fn a_spec_that_cannot_be_obeyed_changes_nothing(world: &World) {
    let scene = Scene::new(world, "invalid", 1, &json!({"minReplicas": 4}));
    let _operator = scene.operator("one");
    scene.until_replicas("the fewest replicas", |n| n == 4);
    // A zone that the schema cannot know. What else is in the spec is not obeyed either: half of it might be worse.
    let window =
        json!([{"name": "w", "from": "05:00", "to": "06:00", "timeZone": "Europe/Atlantis", "replicas": 9}]);
    scene.pool(&json!({"minReplicas": 1, "schedule": window, "image": "none.invalid/ovomesh:2"}));
    let pool = scene.until_condition("Valid", "InvalidSpec");
    let message = of(&pool, "Valid")["message"].as_str().unwrap();
    assert!(message.contains("spec.schedule[w].timeZone is \"Europe/Atlantis\""), "{message}");
    scene.stays_at_least(4, 5);
    assert!(scene.until_event("InvalidSpec").contains("Europe/Atlantis"));
    let found = scene.here.read("deployment", "inference").unwrap();
    assert_eq!(found["spec"]["template"]["spec"]["containers"][0]["image"], "none.invalid/ovomesh:1");
    scene.pool(&json!({"minReplicas": 5}));
    scene.until_condition("Valid", "Accepted");
    scene.until_replicas("obeyed again", |n| n == 5);
}

fn a_spec_changed_in_mid_surge_is_obeyed_at_once(world: &World) {
    let spec = json!({"maxReplicas": 4, "podAnnotations": {"sim/ready-after": "20s"}});
    let scene = Scene::new(world, "changed", 1, &spec);
    let _operator = scene.operator("one");
    scene.gateways.rate(400.0);
    scene.until_replicas("as many as allowed", |n| n == 4);
    let pool = scene.until_condition("AtMaximum", "MoreNeeded");
    assert!(of(&pool, "AtMaximum")["message"].as_str().unwrap().contains("maxReplicas allows no more"));
    // While the replicas still start.
    scene.pool(&json!({"maxReplicas": 12, "podAnnotations": {"sim/ready-after": "20s"}}));
    scene.until_replicas("more are allowed", |n| n >= 8);
    scene.until_condition("AtMaximum", "Enough");
}

fn an_operator_killed_in_mid_roll_out_is_followed_by_one_that_goes_on(world: &World) {
    let spec = |image: u32| {
        json!({
            "image": format!("none.invalid/ovomesh:{image}"), "minReplicas": 4,
            "scaleDownStabilizationSeconds": 60, "podAnnotations": {"sim/ready-after": "1s"},
        })
    };
    let scene = Scene::new(world, "killed", 1, &spec(1));
    let mut one = scene.operator("one");
    let count = |found: &Value, what: &str| found["status"][what].as_i64().unwrap_or(0);
    let deployment = |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        scene.here.until(what, "deployment", "inference", wanted)
    };
    deployment("the fewest are ready", &|found| count(found, "readyReplicas") >= 4);
    scene.pool(&spec(2));
    deployment("the roll-out is in its middle", &|found| {
        let (updated, all) = (count(found, "updatedReplicas"), count(found, "replicas"));
        found["status"]["observedGeneration"] == found["metadata"]["generation"]
            && 0 < updated
            && updated < all
    });
    one.kill().unwrap();
    // While nobody leads, the demand grows and the image changes again.
    scene.gateways.rate(600.0);
    scene.pool(&spec(3));
    let _two = scene.operator("two");
    let mut fewest = i64::MAX;
    let done = world.wait("the roll-out of the last image is over", || {
        let found = scene.here.read("deployment", "inference")?;
        fewest = fewest.min(count(&found, "readyReplicas"));
        let all = found["spec"]["replicas"].as_i64()?;
        let image = &found["spec"]["template"]["spec"]["containers"][0]["image"];
        let over =
            ["replicas", "updatedReplicas", "readyReplicas"].iter().all(|what| count(&found, what) == all);
        (image == "none.invalid/ovomesh:3" && all >= 12 && over).then_some(all)
    });
    let replicas = done.unwrap();
    println!("    {replicas} replicas of the last image; never fewer than {fewest} were ready");
    assert!(fewest >= 4);
}
