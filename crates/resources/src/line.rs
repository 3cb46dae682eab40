//! One line, as a resource.
// Each `printcolumn(...)` is another column.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use ovomesh_api::LineConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Configuration of one scanner line: what `lines.yaml` says of a line, with the same names. Gateways of this namespace
/// obey a change within two seconds.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ovomesh.dev",
    version = "v1alpha1",
    kind = "ScannerLine",
    namespaced,
    status = "ScannerLineStatus",
    derive = "PartialEq",
    shortname = "sline",
    category = "ovomesh",
    doc = "Configuration of one scanner line: what lines.yaml says of a line, with the same names. Gateways of this namespace obey a change within two seconds.",
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.site"),
    printcolumn(name = "Line", type_ = "string", json_path = ".spec.line"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner"),
    printcolumn(name = "Budget-ms", type_ = "integer", json_path = ".spec.budget_ms"),
    printcolumn(name = "Quarantined", type_ = "boolean", json_path = ".spec.quarantined"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("self.site == oldSelf.site && self.line == oldSelf.line").message("site and line may not change: make another ScannerLine"))]
pub struct ScannerLineSpec {
    /// Name of the site.
    #[schemars(length(min = 1, max = 64))]
    pub site: String,
    /// Name of the line within its site.
    #[schemars(length(min = 1, max = 64))]
    pub line: String,
    /// The rest.
    #[serde(flatten)]
    pub config: LineConfig,
}

/// What the operator tells of a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScannerLineStatus {
    /// Generation of the spec that this is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Accepted: gateways can obey it, and no older resource is about the same line.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl ScannerLine {
    /// Of two resources about one line the lower counts: the older, then the first by name.
    pub fn precedence(&self) -> (Option<&Time>, Option<&str>) {
        (self.metadata.creation_timestamp.as_ref(), self.metadata.name.as_deref())
    }
}
