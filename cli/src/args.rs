//! The command line: what all subcommands share, and which there are.

use clap::{Args, CommandFactory, Parser, Subcommand};
use ovomesh_bootstrap::ClientTlsArgs;
use tonic::transport::Uri;

use crate::commands::{
    completions, get, lines, list, man, phantom, send, show, simulate, spool, status, watch,
};
use crate::exit::CODES;
use crate::output::Format;

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

/// What all subcommands share. May stand before or after the subcommand.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where scans go: a gateway, or an agent at the edge
    #[arg(long, env = "OVOMESH_GATEWAY", value_name = "URL", default_value = "http://127.0.0.1:7700", value_parser = url)]
    pub gateway: Uri,
    /// Where questions go: the query service
    #[arg(long, env = "OVOMESH_QUERY", value_name = "URL", default_value = "http://127.0.0.1:7701", value_parser = url)]
    pub query: Uri,
    /// Output format: tables for people, or one JSON object per line for programs
    #[arg(long, env = "OVOMESH_OUTPUT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// How calls are secured.
    #[command(flatten)]
    pub tls: ClientTlsArgs,
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

/// A service's URL. A bare `host:port` is plain text.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = whole.parse().map_err(|error| format!("{error}; write it as http://HOST:PORT"))?;
    let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.port().is_some();
    if known { Ok(uri) } else { Err("it must be http://HOST:PORT or https://HOST:PORT".into()) }
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
    fn urls_are_checked_where_they_are_given() {
        assert_eq!(url("mesh:7700").unwrap().to_string(), "http://mesh:7700/");
        for wrong in ["ftp://a:1", "http://a", "http://a b:1", ""] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
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
