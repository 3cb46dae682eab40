//! `ovomesh`: the command line for people. Sends scans as a scanner would, simulates scanners, and asks the query
//! service what was decided. Links no service.
//!
//! [`Cli`] is what was asked, [`run`] does it; `commands` has a file for each subcommand.

#![allow(missing_docs, reason = "a program is used through its flags")]

mod args;
mod client;
mod colour;
mod commands;
mod escape;
mod exit;
mod global;
mod lines;
mod output;
mod pages;
mod picture;
mod purpose;
mod row;
mod scanner;
mod table;
mod terminal;
mod timestamps;

use std::process::ExitCode;

use clap::FromArgMatches;
use ovomesh_bootstrap::terminal::help_colours;

pub use args::{Cli, Command, command};
pub use exit::{Failure, code};
pub use global::Global;
pub use output::{Format, Out};

/// Parses the command line, runs it, and says what went wrong.
pub fn main() -> ExitCode {
    // Errors of usage leave here, with their own exit code.
    let cli = match Cli::from_arg_matches(&command().color(help_colours()).get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    ovomesh_bootstrap::install_provider();
    let mut out = Out::stdout(cli.global.output);
    let result = ovomesh_bootstrap::runtime(1).and_then(|runtime| runtime.block_on(run(cli, &mut out)));
    match result {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::warn(&format!("error: {error:#}"));
            code(&error)
        }
    }
}

/// Does what was asked. Success means that all of it was done: nothing lost, nothing unreachable, nothing unsent.
///
/// # Errors
/// When it could not be done at all; the text says what to do, and [`code`] is the exit code.
pub async fn run(cli: Cli, out: &mut Out) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    match cli.command {
        Command::Simulate(args) => commands::simulate::run(*args, &global, out).await,
        Command::Phantom(args) => commands::phantom::run(&args, out),
        Command::Send(args) => commands::send::run(args, &global, out).await,
        Command::Get(args) => commands::get::run(&args, &global, out).await,
        Command::List(args) => commands::list::run(&args, &global, out).await,
        Command::Lines(args) => commands::lines::run(&args, &global, out).await,
        Command::Watch(args) => commands::watch::run(&args, &global, out).await,
        Command::Show(args) => commands::show::run(&args, &global, out).await,
        Command::Spool(args) => commands::spool::run(&args, &global, out).await,
        Command::Completions(args) => commands::completions::run(&args, out),
        Command::Man(args) => commands::man::run(&args, out),
        Command::Status(args) => commands::status::run(&args, &global, out).await,
    }
}
