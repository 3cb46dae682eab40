//! What a replica is made of.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A model, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.url) == has(self.sha256)").message("url and sha256 come together: what is pulled is checked"))]
pub struct Model {
    /// Name and version, such as egg-pose/0.3.1.
    #[serde(default = "name")]
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$"), length(max = 128))]
    pub name: String,
    /// Folder of models to pull from: s3://BUCKET/PATH, https://HOST/PATH or file:///PATH. NAME/VERSION/ is below it.
    /// Without: the image holds the model, or a volume does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(s3|https?|file)://"), length(max = 1024))]
    pub url: Option<String>,
    /// SHA-256 of the model's model.toml, which holds those of its other files. 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Environment variables from this Secret, for the credentials of the store (AWS_ACCESS_KEY_ID and so on).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Default for Model {
    fn default() -> Self {
        Self { name: name(), url: None, sha256: None, secret: None }
    }
}

fn name() -> String {
    "egg-pose/0.3.1".into()
}

/// What one replica needs. Requests and limits of memory are the same, so that no replica is put where it cannot stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// CPU, such as "1" or "500m". It may use more when the node has some.
    #[serde(default = "cpu")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("cpu must be a quantity above 0, such as 500m"))]
    #[schemars(length(max = 32))]
    pub cpu: String,
    /// Memory, such as "1Gi".
    #[serde(default = "memory")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("memory must be a quantity above 0, such as 1Gi"))]
    #[schemars(length(max = 32))]
    pub memory: String,
    /// GPUs. 0: the replica computes on CPUs.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16))]
    pub gpus: i32,
    /// Name of the GPU resource.
    #[serde(default = "gpu_resource")]
    #[schemars(length(min = 1, max = 128))]
    pub gpu_resource: String,
}

impl Resources {
    /// Everything asked for, as Kubernetes names it.
    pub fn requests(&self) -> BTreeMap<&str, String> {
        let mut all = BTreeMap::from([("cpu", self.cpu.clone()), ("memory", self.memory.clone())]);
        if self.gpus > 0 {
            all.insert(&self.gpu_resource, self.gpus.to_string());
        }
        all
    }

    /// What may not be exceeded: all but the CPU.
    pub fn limits(&self) -> BTreeMap<&str, String> {
        let mut limits = self.requests();
        limits.remove("cpu");
        limits
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu: cpu(), memory: memory(), gpus: 0, gpu_resource: gpu_resource() }
    }
}

fn cpu() -> String {
    "1".into()
}
fn memory() -> String {
    "1Gi".into()
}
fn gpu_resource() -> String {
    "nvidia.com/gpu".into()
}
