//! The test programs of the workspace, as cargo builds and names them.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;

use super::pool::Job;
use crate::build;

pub struct Program {
    /// PACKAGE for the unit tests of a package, PACKAGE/TEST for an integration test.
    name: String,
    executable: PathBuf,
    /// Where cargo would run it.
    folder: PathBuf,
}

/// What cargo says of each thing that it built, as far as it is used here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds all test programs, and says where they are.
pub fn build() -> anyhow::Result<Vec<Program>> {
    let mut command = build::workspace(&["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    let mut cargo = command.stdout(Stdio::piped()).spawn()?;
    let messages = BufReader::new(cargo.stdout.take().context("cargo's messages")?);
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(&line?).context("a message of cargo")?;
        programs.extend(message.program());
    }
    let status = cargo.wait()?;
    anyhow::ensure!(status.success(), "the tests do not build ({status})");
    anyhow::ensure!(!programs.is_empty(), "cargo named no test program");
    Ok(programs)
}

impl Message {
    fn program(self) -> Option<Program> {
        let (target, executable) = (self.target?, self.executable?);
        if self.reason != "compiler-artifact" || !self.profile?.test {
            return None;
        }
        let folder = self.manifest_path?.parent()?.to_owned();
        // Folders are named as packages are, but for the prefix.
        let package = format!("ovomesh-{}", folder.file_name()?.to_str()?);
        let name = match target.kind.first()?.as_str() {
            "lib" => package,
            _ => format!("{package}/{}", target.name),
        };
        Some(Program { name, executable, folder })
    }
}

impl Program {
    /// Runs it as cargo would, and has its harness say what each test took.
    pub fn job(self, variables: &[(&'static str, PathBuf)]) -> Job {
        let mut command = Command::new(self.executable);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        // The harness of libtest-mimic takes no such flag.
        let is_harness = self.name != super::KUBE;
        let is_heavy = [super::KUBE, super::OUTAGES].contains(&self.name.as_str());
        Job { name: self.name, command, is_harness, is_heavy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(message: &str) -> Option<String> {
        serde_json::from_str::<Message>(message).unwrap().program().map(|program| program.name)
    }

    #[test]
    fn test_programs_are_told_from_what_else_cargo_builds() {
        let unit = r#"{"reason": "compiler-artifact", "manifest_path": "/r/crates/spool/Cargo.toml",
            "target": {"kind": ["lib"], "name": "ovomesh_spool"}, "profile": {"test": true}, "executable": "/t/x"}"#;
        assert_eq!(program(unit).as_deref(), Some("ovomesh-spool"));
        assert_eq!(
            program(&unit.replace(r#"["lib"]"#, r#"["test"]"#)).as_deref(),
            Some("ovomesh-spool/ovomesh_spool")
        );
        assert_eq!(program(&unit.replace("true", "false")), None, "a library");
        assert_eq!(program(r#"{"reason": "build-finished", "success": true}"#), None);
    }
}
