//! Licences, sources and advisories of all dependencies, by cargo-deny.

use std::process::{Command, Stdio};

use crate::python;
use crate::run::run as execute;

/// What needs nothing but the registry: licences, banned and doubled crates, sources.
pub fn check() -> anyhow::Result<()> {
    execute(deny()?.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
}

/// All of [`check`], and the advisories where their database can be reached.
pub fn run() -> anyhow::Result<()> {
    check()?;
    // The advisory database is a git repository: a machine that reaches only package registries cannot have it.
    if execute(deny()?.args(["check", "advisories"])).is_err() {
        let quiet = |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let reachable = quiet(deny()?.args(["fetch", "db"])).is_ok_and(|status| status.success());
        anyhow::ensure!(!reachable, "there are advisories against dependencies; see above");
        println!("advisories: skipped: the advisory database cannot be fetched from here");
    }
    Ok(())
}

fn deny() -> anyhow::Result<Command> {
    let mut deny = Command::new(python::environment()?.join("cargo-deny"));
    deny.current_dir(ovomesh_testkit::repository()).args(["--log-level", "error"]);
    Ok(deny)
}
