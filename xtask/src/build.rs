//! What is built, and how.

use std::path::{Path, PathBuf};
use std::process::Command;

use ovomesh_testkit::Programs;

use crate::libtorch;
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

/// How services are built for Kubernetes. The demo does without: it would take two minutes more.
const KUBERNETES: [&str; 2] = ["--features", "ovomesh-scanner-gateway/kubernetes,ovomesh-inference/pull"];

/// Builds the programs in release mode, and says where they are.
pub fn release() -> anyhow::Result<Programs> {
    libtorch::provide()?;
    let mut build = cargo(&["build", "--release", "--bins"]);
    run(build.args(PROGRAMS.iter().flat_map(|package| ["--package", package])))?;
    Ok(Programs::in_folder(target_folder().join("release")))
}

/// The programs of this folder, or else those of [`release`].
pub fn release_or(folder: Option<&Path>) -> anyhow::Result<Programs> {
    folder.map_or_else(release, |folder| Ok(Programs::in_folder(folder)))
}

/// Builds all programs and examples as the tests want them.
pub fn tested() -> anyhow::Result<()> {
    run(&mut workspace(&["build", "--bins", "--examples"]))
}

/// `cargo` on the whole workspace with the features of Kubernetes. All steps of the tests use this, also for one target:
/// cargo compiles a dependency anew for each set of features, and other packages would ask for other sets.
pub fn workspace(args: &[&str]) -> Command {
    let mut command = cargo(args);
    command.arg("--workspace").args(KUBERNETES);
    command
}

/// A program or example of the tests.
pub fn program(path: &str) -> PathBuf {
    target_folder().join("debug").join(path)
}

pub fn train(flags: &[String]) -> anyhow::Result<()> {
    libtorch::provide()?;
    run(cargo(&["run", "--release", "--package", "ovomesh-train", "--"]).args(flags))
}

/// Runs an example of a package that needs libtorch.
pub fn example(package: &str, name: &str, flags: &[String]) -> anyhow::Result<()> {
    libtorch::provide()?;
    run(cargo(&["run", "--release", "--package", package, "--example", name, "--"]).args(flags))
}

pub fn target_folder() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| ovomesh_testkit::repository().join("target"))
}
