//! Text from outside on a terminal. What a scanner, a file or a server wrote is shown, never obeyed: an escape code in it
//! could hide a row, paint MALE as FEMALE, or type for the reader.

use std::borrow::Cow;

/// Longest code of a colour that this program writes: `38;5;255;48;5;255`.
const LONGEST_COLOUR: usize = 17;

/// A text from outside, on one line: control characters, and those that reverse the direction of what follows, as
/// `\u{1b}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |_| 0)
}

/// What is about to be written: lines, with colours if any are shown. All other control characters are escaped. Colours
/// are our own where each text from outside went through [`escaped`].
pub(crate) fn printable(text: &str, colour: bool) -> Cow<'_, str> {
    replaced(text, |rest| match rest.as_bytes().first() {
        Some(b'\n') => 1,
        Some(0x1b) if colour => {
            let code = rest[1..].strip_prefix('[').unwrap_or_default();
            let length = code.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
            let is_colour = length <= LONGEST_COLOUR && code.as_bytes().get(length) == Some(&b'm');
            if is_colour { length + 3 } else { 0 }
        }
        _ => 0,
    })
}

/// Escapes what obeys a terminal; `kept` tells how many bytes of the rest that begins with it stay as they are.
fn replaced(text: &str, kept: impl Fn(&str) -> usize) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len() + 16), text);
    while let Some(at) = rest.find(is_obeyed) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let keep = kept(rest);
        if keep > 0 {
            out.push_str(&rest[..keep]);
            rest = &rest[keep..];
        } else if let Some(first) = rest.chars().next() {
            out.extend(first.escape_unicode());
            rest = &rest[first.len_utf8()..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Control characters, and marks and overrides of the direction of text (Unicode's UAX 9).
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_shown_and_not_obeyed() {
        for (text, shown) in [
            ("BATCH-7 \u{e4}", "BATCH-7 \u{e4}"),
            ("\x1b[2J\x1b]0;x\x07", r"\u{1b}[2J\u{1b}]0;x\u{7}"),
            ("a\nb\r\t", r"a\u{a}b\u{d}\u{9}"),
            ("\u{9b}31m\u{202e}ELAM\x7f", r"\u{9b}31m\u{202e}ELAM\u{7f}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn our_own_lines_and_colours_stay() {
        let text = "a \x1b[35mFEMALE\x1b[0m\nb";
        let picture = "\x1b[38;5;255;48;5;232m=\x1b[0m";
        assert_eq!(printable(picture, true), picture);
        assert_eq!(printable(text, true), text);
        assert_eq!(printable(text, false), "a \\u{1b}[35mFEMALE\\u{1b}[0m\nb");
        assert_eq!(printable("\x1b[2J\x1b[31", true), r"\u{1b}[2J\u{1b}[31");
    }
}
