//! What a user asks of inference.
// Each `printcolumn(...)` is another column.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, Toleration};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{InferencePoolStatus, Model, Resources};

/// A pool of inference replicas. The operator makes its Deployment and alone says how many replicas it has: by the demand
/// that gateways report, by this spec, and never fewer because something cannot be seen.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ovomesh.dev",
    version = "v1alpha1",
    kind = "InferencePool",
    namespaced,
    status = "InferencePoolStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "ipool",
    category = "ovomesh",
    doc = "A pool of inference replicas. The operator makes its Deployment and alone says how many replicas it has: by the demand that gateways report, by this spec, and never fewer because something cannot be seen.",
    scale(
        spec_replicas_path = ".spec.fixedReplicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "Replicas asked for"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.ready",
        description = "Replicas that take work"
    ),
    printcolumn(
        name = "Min",
        type_ = "integer",
        json_path = ".spec.minReplicas",
        description = "Fewest replicas",
        priority = 1
    ),
    printcolumn(
        name = "Max",
        type_ = "integer",
        json_path = ".spec.maxReplicas",
        description = "Most replicas"
    ),
    printcolumn(
        name = "Demand",
        type_ = "string",
        json_path = ".status.demand",
        description = "Scans a second that there is to be room for"
    ),
    printcolumn(
        name = "Backlog",
        type_ = "integer",
        json_path = ".status.backlog",
        description = "Scans that wait for inference"
    ),
    printcolumn(
        name = "Miss-In",
        type_ = "string",
        json_path = ".status.secondsToMiss",
        description = "Seconds until the first scan is late if nothing changes"
    ),
    printcolumn(
        name = "Why",
        type_ = "string",
        json_path = ".status.reason",
        description = "Why it has so many replicas"
    ),
    printcolumn(
        name = "Bottleneck",
        type_ = "string",
        json_path = ".status.bottleneck",
        description = "Stage behind which scans wait the longest",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas may not be above maxReplicas"),
    validation = Rule::new("!has(self.fixedReplicas) || self.fixedReplicas <= self.maxReplicas").message("fixedReplicas may not be above maxReplicas"),
    validation = Rule::new("!has(self.schedule) || self.schedule.all(w, w.replicas <= self.maxReplicas)").message("replicas of a schedule window may not be above maxReplicas"),
    validation = Rule::new("self.fallback.mode != 'AtLeast' || has(self.fallback.replicas) && self.fallback.replicas <= self.maxReplicas").message("fallback AtLeast needs replicas, not above maxReplicas")
)]
pub struct InferencePoolSpec {
    /// Image of the inference service.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// The model that each replica loads at its start.
    #[serde(default)]
    pub model: Model,
    /// What each replica needs.
    #[serde(default)]
    pub resources: Resources,
    /// Fewest replicas, 0 or more. With 0 the first scans after a quiet time are late.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10000))]
    pub min_replicas: i32,
    /// Most replicas, 1 to 10,000. When more would be needed, the condition AtMaximum is True.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: i32,
    /// Exactly so many replicas, whatever is seen, even fewer than minReplicas: a pin by hand, and what `kubectl scale`
    /// sets. Remove it to have the pool scaled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub fixed_replicas: Option<i32>,
    /// Scans a second that one replica does, until replicas have been busy enough to be measured. More than 0.
    #[serde(default = "fifty")]
    // A rule, because the apiserver takes a whole 0 for no less than a minimum of 0.001.
    #[x_kube(validation = Rule::new("self > 0.0").message("expectedScansPerSecond has to be above 0"))]
    #[schemars(range(max = 1_000_000.0))]
    pub expected_scans_per_second: f64,
    /// Replicas for each scan that comes: 1.25 keeps a fifth of them free. 1 to 10.
    #[serde(default = "headroom")]
    #[schemars(range(min = 1.0, max = 10.0))]
    pub headroom: f64,
    /// How soon a burst, or what waits, is to be through, in seconds. The budget of a scan is 2 s by default. 0.05 to 60.
    #[serde(default = "drain")]
    #[x_kube(validation = Rule::new("self >= 0.05").message("targetDrainSeconds has to be at least 0.05"))]
    #[schemars(range(max = 60.0))]
    pub target_drain_seconds: f64,
    /// The largest demand of so many seconds counts before replicas are taken away. 0 to 3,600.
    #[serde(default = "stabilization")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_stabilization_seconds: i32,
    /// Times at which there are at least so many replicas, such as the start of a shift.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub schedule: Vec<ScheduleWindow>,
    /// What to do while gateways cannot be seen. In no case is a replica taken away.
    #[serde(default)]
    pub fallback: Fallback,
    /// Name under which gateways report the load of this pool: `main` for the pool whose answers become verdicts. Gateways
    /// that do not report it count as unseen, and nothing is taken away.
    #[serde(default = "main")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("pool may not change: make another InferencePool"))]
    pub pool: String,
    /// Service of the gateways, in this namespace: they are asked for the demand.
    #[serde(default = "gateway_service")]
    #[schemars(length(min = 1, max = 63))]
    pub gateway_service: String,
    /// Labels of nodes that replicas may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that replicas accept, such as those of nodes with GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Annotations of each pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Labels of each pod, beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Environment of the container, such as OVOMESH_LOG, or credentials of the models' store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// Secrets with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<String>,
    /// Secret with tls.crt, tls.key and ca.crt for the replicas' own port. Without: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<String>,
    /// How long a replica that is told to end may take to answer what it has, in seconds. 1 to 600.
    #[serde(default = "grace")]
    #[schemars(range(min = 1, max = 600))]
    pub drain_seconds: i32,
}

/// A time of the day at which there are at least so many replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from != self.to").message("from and to of a window may not be the same"))]
pub struct ScheduleWindow {
    /// For people.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// From when, as HH:MM on the clock of the time zone. Replicas are ordered earlier, by what they take to start.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), length(max = 5))]
    pub from: String,
    /// Until when, as HH:MM. Earlier than `from`: on the next day.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), length(max = 5))]
    pub to: String,
    /// Days on which the window begins: Mon, Tue, Wed, Thu, Fri, Sat, Sun. None: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), inner(regex(pattern = r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)$")))]
    pub days: Vec<String>,
    /// Time zone, such as Europe/Berlin. Summer time is the zone's.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// At least so many replicas.
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: i32,
}

/// What to do while gateways cannot be seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Hold keeps what there is. AtLeast has at least `replicas`.
    #[serde(default)]
    pub mode: FallbackMode,
    /// For AtLeast: so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: Option<i32>,
}

/// What to do while gateways cannot be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum FallbackMode {
    /// Keep what there is.
    #[default]
    Hold,
    /// Have at least `replicas`.
    AtLeast,
}

// Defaults are those of `ovomesh_scaling::Spec`; the operator's tests compare them.
fn one() -> i32 {
    1
}
fn ten() -> i32 {
    10
}
fn fifty() -> f64 {
    50.0
}
fn headroom() -> f64 {
    1.25
}
fn drain() -> f64 {
    1.5
}
fn stabilization() -> i32 {
    300
}
fn grace() -> i32 {
    30
}
fn main() -> String {
    ovomesh_api::stages::MAIN_POOL.into()
}
fn gateway_service() -> String {
    "scanner-gateway".into()
}
fn utc() -> String {
    "UTC".into()
}
