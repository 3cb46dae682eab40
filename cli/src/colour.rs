//! Colours: few, and the same everywhere.

use comfy_table::Color;
use ovomesh_api::Call;

/// The colour of a call.
pub(crate) fn colour_of(call: &Call) -> Color {
    match call {
        Call::Female => Color::Magenta,
        Call::Male => Color::Blue,
        Call::NoEmbryo => Color::DarkGrey,
        Call::Undecided(..) => Color::Yellow,
    }
}

/// A coloured text, between its escape codes.
pub(crate) fn paint(text: &str, colour: Color) -> String {
    let code = match colour {
        Color::Magenta => 35,
        Color::Blue => 34,
        Color::DarkGrey => 90,
        Color::Yellow => 33,
        Color::Red => 31,
        // No other is in use.
        _ => 39,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The same, coloured only if `colour`.
pub(crate) fn paint_call(text: &str, call: &Call, colour: bool) -> String {
    if colour { paint(text, colour_of(call)) } else { text.to_owned() }
}
