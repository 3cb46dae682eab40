//! What the tests share: the program in this process, and services that check what they are asked.

#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses a part
#![allow(clippy::unwrap_used)] // a helper of tests fails them by panicking

pub mod gateway;
pub mod query;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::FromArgMatches;
use ovomesh_cli::{Cli, Format, Out, command, run};
use parking_lot::Mutex;

/// A buffer that can be read while it is written.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What came of a run.
pub struct Ran {
    pub printed: String,
    pub result: anyhow::Result<ExitCode>,
}

impl Ran {
    pub fn succeeded(&self) -> bool {
        self.result.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.printed.trim()).unwrap_or_else(|e| panic!("{e}: {}", self.printed))
    }
}

/// Runs `ovomesh` with these words, separated by spaces.
pub async fn ovomesh(words: &str) -> Ran {
    let printed = Printed::default();
    let result = ovomesh_into(words, printed.clone()).await;
    Ran { printed: printed.text(), result }
}

/// The same, into a buffer that can be read meanwhile.
pub async fn ovomesh_into(words: &str, printed: Printed) -> anyhow::Result<ExitCode> {
    let matches =
        command().try_get_matches_from(std::iter::once("ovomesh").chain(words.split_whitespace()))?;
    let cli = Cli::from_arg_matches(&matches)?;
    let format: Format = cli.global.output;
    run(cli, &mut Out::to(printed, format)).await
}
