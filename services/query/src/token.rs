//! Tokens as text: what the store gave, in hex.

use ovomesh_api::Invalid;

/// Longest token that a store gives: a key of a line.
const LONGEST: usize = 512;

pub fn to_text(token: &[u8]) -> String {
    use std::fmt::Write as _;
    token.iter().fold(String::with_capacity(2 * token.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn from_text(field: &'static str, text: &str) -> Result<Vec<u8>, Invalid> {
    let digits =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(digits).collect();
    bytes
        .filter(|_| text.len().is_multiple_of(2) && text.len() <= 2 * LONGEST)
        .ok_or_else(|| Invalid::field(field, text, "a token that this service gave, or empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_and_nonsense_is_named() {
        let token = [0, 1, 0x7f, 0xff];
        assert_eq!(from_text("page_token", &to_text(&token)).unwrap(), token);
        for text in ["0", "zz", "äö", &"00".repeat(LONGEST + 1)] {
            assert_eq!(from_text("page_token", text).unwrap_err().field, "page_token");
        }
    }
}
