//! A process whose clock is wrong.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// The variables that shift a process's time of day by some seconds. Its other clocks stay right, as on a machine whose
/// battery is empty. `folder` is for the small library that does it, which is compiled here.
pub fn wrong_clock(folder: &Path, seconds: i64) -> anyhow::Result<Vec<(String, String)>> {
    let (source, library) = (folder.join("clock.c"), folder.join("libclock.so"));
    std::fs::write(&source, include_str!("clock.c"))?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    let status = compile.status().context("running cc, the C compiler")?;
    anyhow::ensure!(status.success(), "cc could not compile {}", source.display());
    let variables =
        [("LD_PRELOAD", library.display().to_string()), ("OVOMESH_CLOCK_OFF_S", seconds.to_string())];
    Ok(variables.map(|(name, value)| (name.to_owned(), value)).into())
}
