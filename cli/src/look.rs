//! Colours: few, and the same everywhere.

use comfy_table::Color;
use ovomesh_api::pb::scan::v1::Call;

/// The colour of a call in tables.
pub(crate) fn of(call: Call) -> Option<Color> {
    match call {
        Call::Female => Some(Color::Magenta),
        Call::Male => Some(Color::Blue),
        Call::NoEmbryo => Some(Color::DarkGrey),
        Call::Undecided | Call::Unspecified => Some(Color::Yellow),
    }
}

/// The place of a call in counts by call.
pub(crate) fn column(call: Call) -> usize {
    match call {
        Call::Female => 0,
        Call::Male => 1,
        Call::NoEmbryo => 2,
        Call::Undecided | Call::Unspecified => 3,
    }
}

/// The colour of a call on a line of text.
pub(crate) fn paint(text: &str, call: Call, colour: bool) -> String {
    let code = match call {
        Call::Female => 35,
        Call::Male => 34,
        Call::NoEmbryo => 90,
        Call::Undecided | Call::Unspecified => 33,
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
