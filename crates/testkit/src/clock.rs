//! A process whose clock is wrong.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// Holds by how many seconds the clock is off.
const OFF: &str = "clock.off";

/// The variables that shift a process's time of day by some seconds. Its other clocks stay right, as on a machine whose
/// battery is empty. `folder` is for the small library that does it, which is compiled here.
pub fn wrong_clock(folder: &Path, seconds: i64) -> anyhow::Result<Vec<(String, String)>> {
    let (source, library) = (folder.join("clock.c"), folder.join("libclock.so"));
    std::fs::write(&source, include_str!("clock.c"))?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    let status = compile.status().context("running cc, the C compiler")?;
    anyhow::ensure!(status.success(), "cc could not compile {}", source.display());
    let off = folder.join(OFF);
    std::fs::write(&off, seconds.to_ne_bytes())?;
    let variables = [("LD_PRELOAD", library), ("OVOMESH_CLOCK_OFF", off)];
    Ok(variables.map(|(name, path)| (name.to_owned(), path.display().to_string())).into())
}

/// Steps the time of day of the processes that were started with [`wrong_clock`] of this folder: it is off by so much now.
pub fn step_clock(folder: &Path, seconds: i64) -> anyhow::Result<()> {
    let off = File::options().write(true).open(folder.join(OFF))?;
    // In place, because it is mapped into them.
    Ok(off.write_all_at(&seconds.to_ne_bytes(), 0)?)
}
