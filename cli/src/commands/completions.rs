//! `ovomesh completions`: what a shell needs to complete commands and flags.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::{Out, command};

const EXAMPLES: &str = "\
Examples:
  ovomesh completions bash > /etc/bash_completion.d/ovomesh
  ovomesh completions zsh > ~/.zfunc/_ovomesh
  ovomesh completions fish > ~/.config/fish/completions/ovomesh.fish";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "ovomesh", &mut script);
    // A shell reads it: a line must stay a line, however narrow the terminal is.
    out.width = None;
    out.line(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
