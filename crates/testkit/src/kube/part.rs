//! One process of the control plane.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::spawner;

/// A process with what it takes to start it again.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    program: PathBuf,
    flags: Vec<String>,
    folder: PathBuf,
    child: Child,
}

impl Part {
    /// Starts it in `folder`; its log goes to `NAME.log` there.
    pub(super) fn start(
        name: &'static str,
        program: PathBuf,
        flags: Vec<String>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let child = spawn(name, &program, &flags, folder)?;
        Ok(Self { name, program, flags, folder: folder.to_owned(), child })
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(self.name, &self.program, &self.flags, &self.folder)?;
        Ok(())
    }

    /// An error with the end of its log when it has ended.
    pub(super) fn alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = self.folder.join(format!("{}.log", self.name));
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let tail: Vec<_> = text.lines().rev().take(5).collect();
            anyhow::bail!("{} ended ({status}): {}", self.name, tail.join("\n"));
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}

fn spawn(name: &str, program: &Path, flags: &[String], folder: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join(format!("{name}.log")))?;
    let mut command = Command::new(program);
    command.args(flags).current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    spawner::spawn(command).with_context(|| format!("starting {name}"))
}
