//! Licences and advisories of all dependencies, by cargo-deny.

use std::process::{Command, Stdio};

use crate::run::{self, cargo};

/// Runs what can be run here, and says what cannot.
pub fn run() -> anyhow::Result<()> {
    let here =
        |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !here(&mut cargo(&["deny", "--version"])) {
        println!("installing cargo-deny (about 5 minutes)");
        run::run(&mut cargo(&["install", "--locked", "--quiet", "cargo-deny"]))?;
    }
    run::run(&mut cargo(&["deny", "check", "licenses", "bans", "sources"]))?;
    // The advisory database is a git repository: a machine that reaches only package registries cannot have it.
    if run::run(&mut cargo(&["deny", "check", "advisories"])).is_err() {
        let reachable = here(&mut cargo(&["deny", "fetch", "db"]));
        anyhow::ensure!(!reachable, "there are advisories against dependencies; see above");
        println!("advisories: skipped: the advisory database cannot be fetched from here");
    }
    Ok(())
}
