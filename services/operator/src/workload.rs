//! The Deployment of a pool, without its replicas: those are set through the scale subresource alone.

use kube::{Resource as _, ResourceExt as _};
use ovomesh_resources::InferencePool;
use serde_json::{Value, json};

/// Port of inference in its pods, named `grpc`.
const PORT: u16 = 7720;
/// Where pulled models are kept in a pod.
const MODELS: &str = "/models";
/// Where the pod's certificates are.
const TLS: &str = "/tls";

/// Labels by which the pods of a pool are found.
pub fn labels(pool: &InferencePool) -> [(&'static str, String); 2] {
    [("app.kubernetes.io/name", "inference".into()), ("ovomesh.dev/pool", pool.name_any())]
}

/// The same as a selector.
pub fn selector(pool: &InferencePool) -> String {
    labels(pool).map(|(name, value)| format!("{name}={value}")).join(",")
}

/// What is applied. Everything in it belongs to the operator; whatever else somebody adds is left alone.
pub fn deployment(pool: &InferencePool) -> Value {
    let spec = &pool.spec;
    let own: serde_json::Map<String, Value> =
        labels(pool).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut pod_labels: serde_json::Map<String, Value> =
        spec.pod_labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    pod_labels.extend(own.clone());
    let owner = pool.controller_owner_ref(&());
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": pool.name_any(), "namespace": pool.namespace(),
            "labels": own, "ownerReferences": [owner],
        },
        "spec": {
            "selector": {"matchLabels": own},
            // A replica more before one less: a roll-out costs no capacity.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": pod_labels, "annotations": spec.pod_annotations},
                "spec": pod(pool),
            },
        },
    })
}

fn pod(pool: &InferencePool) -> Value {
    let spec = &pool.spec;
    let secrets: Vec<Value> = spec.image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
    let mut volumes = vec![json!({"name": "models", "emptyDir": {}}), json!({"name": "tmp", "emptyDir": {}})];
    if let Some(secret) = &spec.tls_secret {
        volumes.push(json!({"name": "tls", "secret": {"secretName": secret}}));
    }
    json!({
        "serviceAccountName": "default",
        "automountServiceAccountToken": false,
        "nodeSelector": spec.node_selector,
        "tolerations": spec.tolerations,
        "imagePullSecrets": secrets,
        // The drain and a margin to end in. No preStop: gateways are told on their streams that a replica drains, and nobody
        // connects to it by an address that others balance.
        "terminationGracePeriodSeconds": spec.drain_seconds + 5,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels(pool).into_iter().collect::<std::collections::BTreeMap<_, _>>()},
        }],
        "volumes": volumes,
        "containers": [container(pool)],
    })
}

fn container(pool: &InferencePool) -> Value {
    let spec = &pool.spec;
    let mut mounts =
        vec![json!({"name": "models", "mountPath": MODELS}), json!({"name": "tmp", "mountPath": "/tmp"})];
    if spec.tls_secret.is_some() {
        mounts.push(json!({"name": "tls", "mountPath": TLS, "readOnly": true}));
    }
    let from: Vec<Value> =
        spec.model.secret.iter().map(|name| json!({"secretRef": {"name": name}})).collect();
    // HTTPS where the port speaks it; a server that asks callers for certificates cannot be probed by HTTP.
    let get = |path: &str| match &spec.tls_secret {
        Some(_) => json!({"tcpSocket": {"port": "grpc"}}),
        None => json!({"httpGet": {"path": path, "port": "grpc"}}),
    };
    let probe = |path: &str, period: u32, failures: u32| {
        let mut probe = get(path);
        probe["periodSeconds"] = period.into();
        probe["failureThreshold"] = failures.into();
        probe
    };
    json!({
        "name": "inference",
        "image": spec.image,
        "command": ["/usr/local/bin/ovomesh-inference"],
        "env": environment(pool),
        "envFrom": from,
        "ports": [{"name": "grpc", "containerPort": PORT}],
        "resources": {"requests": spec.resources.requests(), "limits": spec.resources.limits()},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
        // Pulling and warming a model on a GPU may take two minutes; 5 give room.
        "startupProbe": probe("/readyz", 1, 300),
        "readinessProbe": probe("/readyz", 1, 2),
        "livenessProbe": probe("/healthz", 10, 6),
    })
}

/// What is set here wins over the user's own.
fn environment(pool: &InferencePool) -> Vec<Value> {
    let spec = &pool.spec;
    let mut own = vec![
        ("OVOMESH_LISTEN", format!("0.0.0.0:{PORT}")),
        ("OVOMESH_LOG_FORMAT", "json".into()),
        ("OVOMESH_DRAIN_SECONDS", spec.drain_seconds.to_string()),
        ("OVOMESH_MODEL", spec.model.name.clone()),
        ("OVOMESH_DEVICE", if spec.resources.gpus > 0 { "cuda:0".into() } else { "cpu".into() }),
        // One thread a replica: its time at work then says what it can do, which is what scaling goes by.
        ("OVOMESH_THREADS", "1".into()),
    ];
    if let (Some(url), Some(sha256)) = (&spec.model.url, &spec.model.sha256) {
        own.push(("OVOMESH_MODELS", MODELS.into()));
        own.push(("OVOMESH_MODEL_URL", url.clone()));
        own.push(("OVOMESH_MODEL_SHA256", sha256.clone()));
    }
    if spec.tls_secret.is_some() {
        own.extend([
            ("OVOMESH_TLS_CERT", format!("{TLS}/tls.crt")),
            ("OVOMESH_TLS_KEY", format!("{TLS}/tls.key")),
            ("OVOMESH_TLS_CLIENT_CA", format!("{TLS}/ca.crt")),
        ]);
    }
    let users = spec.env.iter().filter(|variable| own.iter().all(|(name, _)| *name != variable.name));
    let users = users.map(|variable| serde_json::to_value(variable).unwrap_or_default());
    let instance =
        json!({"name": "OVOMESH_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    own.iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .chain([instance])
        .chain(users.filter(|variable| variable["name"] != "OVOMESH_INSTANCE"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(spec: Value) -> InferencePool {
        let mut pool = InferencePool::new("inference", serde_json::from_value(spec).unwrap());
        pool.metadata.namespace = Some("mesh".into());
        pool.metadata.uid = Some("u".into());
        pool
    }

    #[test]
    fn replicas_are_not_part_of_it() {
        let made = deployment(&pool(json!({"image": "i:1"})));
        assert!(made["spec"].get("replicas").is_none());
        assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "InferencePool");
    }

    #[test]
    fn a_gpu_and_a_model_from_elsewhere_reach_the_container() {
        let made = deployment(&pool(json!({
            "image": "i:1", "resources": {"gpus": 1, "cpu": "2", "memory": "4Gi"},
            "model": {"name": "egg-pose/0.3.1", "url": "s3://models", "sha256": "0".repeat(64), "secret": "keys"},
            "env": [{"name": "AWS_REGION", "value": "eu-1"}, {"name": "OVOMESH_LISTEN", "value": "0.0.0.0:1"}],
            "podLabels": {"ovomesh.dev/pool": "other", "team": "vision"},
        })));
        let template = &made["spec"]["template"];
        assert_eq!(
            template["metadata"]["labels"],
            json!({
                "app.kubernetes.io/name": "inference", "ovomesh.dev/pool": "inference", "team": "vision"
            })
        );
        let container = &template["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"], json!({"memory": "4Gi", "nvidia.com/gpu": "1"}));
        assert_eq!(container["envFrom"][0]["secretRef"]["name"], "keys");
        let env = |name: &str| -> Vec<&Value> {
            let all = container["env"].as_array().unwrap().iter();
            all.filter(|variable| variable["name"] == name).map(|variable| &variable["value"]).collect()
        };
        assert_eq!(env("OVOMESH_MODEL_URL"), ["s3://models"]);
        assert_eq!(env("OVOMESH_DEVICE"), ["cuda:0"]);
        assert_eq!(env("AWS_REGION"), ["eu-1"]);
        assert_eq!(env("OVOMESH_LISTEN"), ["0.0.0.0:7720"], "the operator's own wins");
    }
}
