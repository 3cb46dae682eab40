//! What the operator tells of a pool.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator sees and does. Written when its meaning changes; figures alone are brought up to date every 30 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferencePoolStatus {
    /// Generation of the spec that this is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Replicas that the Deployment is asked for.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas that take work.
    #[serde(default)]
    pub ready: i32,
    /// Labels of the pods, for the scale subresource.
    #[serde(default)]
    pub selector: String,
    /// Scans a second that there is to be room for, headroom included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<String>,
    /// Scans a second that one replica does: as measured, or else as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<String>,
    /// Scans that wait for inference and are in time.
    #[serde(default)]
    pub backlog: i64,
    /// Seconds until the first scan is late if nothing changes. Absent: not in sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_miss: Option<String>,
    /// Stage behind which scans wait the longest. Absent: nothing waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<String>,
    /// Gateways that report their load.
    #[serde(default)]
    pub gateways_seen: i32,
    /// Gateways that there are.
    #[serde(default)]
    pub gateways: i32,
    /// Why it has so many replicas, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The last time that the operator changed the number of replicas, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// Valid: the spec can be obeyed. GatewaysSeen: every gateway reports. Ready: as many replicas are ready as asked for.
    /// AtMaximum: more would be needed than maxReplicas.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// When.
    pub at: Time,
    /// How many replicas there were.
    pub from: i32,
    /// How many replicas there are to be.
    pub to: i32,
    /// In one word.
    pub reason: String,
    /// For people.
    pub message: String,
}
