//! What is built, and how.

use ovomesh_testkit::Programs;

use crate::fetch;
use crate::run::{cargo, run};

/// The packages whose programs make the mesh.
pub const PROGRAMS: [&str; 8] = [
    "ovomesh-scanner-agent",
    "ovomesh-scanner-gateway",
    "ovomesh-preprocess",
    "ovomesh-inference",
    "ovomesh-results-store",
    "ovomesh-query",
    "ovomesh-all-in-one",
    "ovomesh-cli",
];

/// What only Kubernetes needs: the operator, and what stands in for slow pods.
const ON_KUBERNETES: [&str; 2] = ["ovomesh-operator", "ovomesh-tests"];
/// How services are built for Kubernetes. The demo does without: it would take two minutes more.
pub const KUBERNETES: [&str; 2] = ["--features", "ovomesh-scanner-gateway/kubernetes,ovomesh-inference/pull"];

/// Builds the programs in release mode.
pub fn release() -> anyhow::Result<Programs> {
    programs("release", &[], &[])
}

/// Builds the programs for the tests, those on Kubernetes included.
pub fn tested() -> anyhow::Result<Programs> {
    programs("dev", &ON_KUBERNETES, &KUBERNETES)
}

/// Builds the programs in a profile, and says where they are.
fn programs(profile: &str, more: &[&str], flags: &[&str]) -> anyhow::Result<Programs> {
    fetch::libtorch()?;
    let mut build = cargo(&["build", "--profile", profile, "--bins"]);
    for package in PROGRAMS.iter().chain(more) {
        build.args(["--package", package]);
    }
    run(build.args(flags))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(Programs::in_folder(target_folder().join(folder)))
}

/// Runs the trainer.
pub fn train(flags: &[String]) -> anyhow::Result<()> {
    fetch::libtorch()?;
    run(cargo(&["run", "--release", "--package", "ovomesh-train", "--"]).args(flags))
}

/// Runs an example of a package that needs libtorch.
pub fn example(package: &str, name: &str, flags: &[String]) -> anyhow::Result<()> {
    fetch::libtorch()?;
    run(cargo(&["run", "--release", "--package", package, "--example", name, "--"]).args(flags))
}

/// Where cargo builds.
fn target_folder() -> std::path::PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from);
    named.unwrap_or_else(|| ovomesh_testkit::repository().join("target"))
}
