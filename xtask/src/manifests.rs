//! What Tilt and Docker would be given, as far as it can be checked without them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::Context as _;

use crate::python;
use crate::run::run as execute;

/// Checks the Tiltfile and the Dockerfile against the manifests.
pub fn check() -> anyhow::Result<()> {
    let root = ovomesh_testkit::repository();
    let manifests = fs::read_to_string(root.join("k8s/base/ovomesh.yaml")).context("reading k8s/base")?;
    let python = python::environment()?.join("python");
    let mut tilt = Command::new(python);
    tilt.arg("tilt/check.py").arg("Tiltfile").args(workloads(&manifests)).current_dir(&root);
    execute(&mut tilt)?;
    let dockerfile = fs::read_to_string(root.join("Dockerfile"))?;
    let programs = programs(&manifests);
    anyhow::ensure!(programs.len() > 4, "the manifests name only {programs:?}");
    for program in programs {
        let copied = format!("target/release/{program} ");
        anyhow::ensure!(
            dockerfile.contains(&copied),
            "the Dockerfile copies no {program}, which k8s/base starts"
        );
    }
    Ok(())
}

/// Names of what runs: Deployments, StatefulSets, and pools, whose Deployment the operator makes.
fn workloads(manifests: &str) -> Vec<&str> {
    let runs = |object: &&str| {
        ["Deployment", "StatefulSet", "InferencePool"]
            .iter()
            .any(|kind| object.contains(&format!("\nkind: {kind}\n")))
    };
    let name = |object: &'_ str| -> Option<(usize, usize)> {
        let at = object.find("\nmetadata:\n  name: ")? + "\nmetadata:\n  name: ".len();
        Some((at, object[at..].find('\n')? + at))
    };
    let objects = manifests.split("\n---\n").filter(runs);
    objects.filter_map(|object| name(object).map(|(from, to)| &object[from..to])).collect()
}

/// Programs that containers start, that of the operator's own Deployment included.
fn programs(manifests: &str) -> BTreeSet<&str> {
    let inside = manifests.split("/usr/local/bin/").skip(1);
    let named = inside
        .map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or_default());
    named.chain(["ovomesh-inference"]).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_and_programs_are_read_out_of_manifests() {
        let text = "# made\n---\nkind: Service\nmetadata:\n  name: query\n---\napiVersion: apps/v1\nkind: Deployment\n\
                    metadata:\n  name: query\nspec:\n  command: [\"/usr/local/bin/ovomesh-query\"]\n---\nkind: X\n";
        assert_eq!(workloads(text), ["query"]);
        assert_eq!(programs(text), BTreeSet::from(["ovomesh-inference", "ovomesh-query"]));
    }
}
