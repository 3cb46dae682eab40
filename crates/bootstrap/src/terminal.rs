//! What a terminal understands.

use std::io::IsTerminal;

use clap::{ColorChoice, Parser};

/// Whether a terminal understands escape codes: `TERM=dumb` says that it does not.
pub fn is_capable() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether colours are shown on `output`: a terminal that understands them, unless `NO_COLOR` is set.
pub fn has_colours(output: &impl IsTerminal) -> bool {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    output.is_terminal() && is_capable() && wanted
}

/// Whether clap colours help and errors. Left to itself it does so on a dumb terminal when `CI` is set.
pub fn help_colours() -> ColorChoice {
    if is_capable() { ColorChoice::Auto } else { ColorChoice::Never }
}

/// Parses the command line. Errors of usage end the process with clap's own exit code.
pub fn parse<A: Parser>() -> A {
    let matches = A::command().color(help_colours()).get_matches();
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
