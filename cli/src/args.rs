//! The command line: its subcommands.

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    completions, get, lines, list, man, phantom, send, show, simulate, spool, status, watch,
};
use crate::exit::CODES;
use crate::global::Global;

const EXAMPLES: &str = "\
Examples:
  ovomesh simulate --rate 200 --seconds 20   simulate 8 scanners, then print a report
  ovomesh send scans/                        send the DICOM MR files below a folder
  ovomesh phantom --dicom eggs/              write 20 synthetic eggs as DICOM files
  ovomesh get egg-7-42                       show all scans of an egg, newest first
  ovomesh lines                              list the lines that have scans
  ovomesh list --site north --line 1 --from -10m
  ovomesh watch --call undecided             follow decisions as they are stored
  ovomesh show sim-5f0c-17                   show one scan: its middle slice, the call, the time it took
  ovomesh status                             ask each service: ready, backlog, last error
  ovomesh --output json list --site north --line 1 | jq .verdict.call";

/// Sends egg scans to an ovomesh, simulates scanners, and shows what was decided.
#[derive(Debug, Parser)]
#[command(name = "ovomesh", version, after_help = format!("{EXAMPLES}\n\n{CODES}"))]
pub struct Cli {
    /// What all subcommands share.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate scanners that send phantoms at a fixed rate; report latency, losses and accuracy
    Simulate(Box<simulate::Args>),
    /// Write synthetic eggs as DICOM files, with a table of the truth
    Phantom(phantom::Args),
    /// Send DICOM MR files and print a verdict for each egg
    Send(send::Args),
    /// Show all scans of an egg, newest first
    Get(get::Args),
    /// List the scans of a line, oldest first
    List(list::Args),
    /// List the lines that have scans
    Lines(lines::Args),
    /// Follow decisions as they are stored
    Watch(watch::Args),
    /// Show one scan: its middle slice, the decision, and where the time went
    Show(show::Args),
    /// List, check or empty the spool of a stopped agent
    Spool(spool::Args),
    /// Ask each service whether it is ready
    Status(status::Args),
    /// Print a shell's completions of commands and flags
    Completions(completions::Args),
    /// Write manual pages to a folder
    Man(man::Args),
}

/// The command line as clap reads it.
pub fn command() -> clap::Command {
    // Flags that bootstrap shares with the services cannot know that they are global here.
    Cli::command().mut_args(|arg| arg.global(true))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        let matches = command().try_get_matches_from(words.split(' '))?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn shared_flags_may_stand_before_or_after_the_subcommand() {
        for words in ["ovomesh --gateway http://a:1 get e1", "ovomesh get --gateway http://a:1 e1"] {
            assert_eq!(parse(words).unwrap().global.gateway.to_string(), "http://a:1/", "{words}");
        }
        let cli = parse("ovomesh get e1").unwrap();
        assert_eq!(cli.global.gateway.to_string(), "http://127.0.0.1:7700/");
        assert_eq!(cli.global.query.to_string(), "http://127.0.0.1:7701/");
    }

    #[test]
    fn the_help_of_every_subcommand_shows_examples() {
        for subcommand in command().get_subcommands() {
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("ovomesh {}", subcommand.get_name())),
                "{}",
                subcommand.get_name()
            );
        }
    }
}
