//! The one error for a message that breaks the contract.

use std::fmt;

use crate::ids::ID_BYTES;
use crate::pb::scan::v1::{RejectCode, Rejected};

/// A field that breaks the contract: which, what it held, what is allowed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What kind of error.
    pub code: RejectCode,
    /// The field, such as `volume.samples`.
    pub field: &'static str,
    /// What it held, shortened to [`VALUE_BYTES`].
    pub value: String,
    /// What is allowed.
    pub limit: String,
    /// One clause for people: what is wrong and what to do.
    pub message: String,
}

/// Longest value that an error repeats: errors must stay small whatever is sent.
pub const VALUE_BYTES: usize = 64;

impl Invalid {
    /// A field that is missing or out of its range.
    pub fn field(field: &'static str, value: impl fmt::Display, limit: impl Into<String>) -> Self {
        let (value, limit) = (shorten(&value.to_string()), limit.into());
        let message = if value.is_empty() {
            format!("{field} is missing; it must be {limit}")
        } else {
            format!("{field} is {value}; it must be {limit}")
        };
        Self { code: RejectCode::Invalid, field, value, limit, message }
    }

    /// The same error with another code and a message of its own.
    pub fn because(mut self, code: RejectCode, message: impl Into<String>) -> Self {
        self.code = code;
        self.message = message.into();
        self
    }

    /// A message that came before Hello.
    pub fn no_hello() -> Self {
        Self::field("hello", "", "the first message of a session")
    }

    /// There is no room for a scan now: where there is none, and why.
    pub fn overloaded(place: &str, why: impl fmt::Display) -> Self {
        let error = Self::field("scan", "", format!("within {place}"));
        error.because(RejectCode::Overloaded, format!("{why}; send it again later"))
    }

    /// Whether the image itself can never be computed, so that its egg can only be UNDECIDED. A checksum that does not fit says
    /// that the message was damaged on its way, and nothing of the image.
    pub fn is_of_the_image(&self) -> bool {
        use RejectCode::{Encoding, Invalid, SizeMismatch, TooLarge};
        self.field.starts_with("volume") && matches!(self.code, Invalid | SizeMismatch | TooLarge | Encoding)
    }

    /// The answer on the wire; `scan_id` is empty when the message is about no scan. Nothing that is invalid becomes valid by
    /// sending it again; what was damaged on its way, or met a full server, may.
    pub fn rejected(&self, scan_id: &str) -> Rejected {
        let scan_id = shorten_to(scan_id, ID_BYTES);
        let message = match scan_id.as_str() {
            "" => self.message.clone(),
            scan_id => format!("scan {scan_id}: {}", self.message),
        };
        Rejected {
            message,
            scan_id,
            code: self.code.into(),
            retryable: matches!(self.code, RejectCode::Overloaded | RejectCode::Checksum),
            field: self.field.to_owned(),
            value: self.value.clone(),
            limit: self.limit.clone(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

fn shorten(text: &str) -> String {
    shorten_to(text, VALUE_BYTES)
}

/// At most `limit` bytes of `text`, cut between characters, with control characters made visible.
pub fn shorten_to(text: &str, limit: usize) -> String {
    let clean: String = text.chars().take(limit + 1).flat_map(visible).collect();
    if clean.len() <= limit {
        return clean;
    }
    let cut = (0..=limit.saturating_sub(3)).rev().find(|&i| clean.is_char_boundary(i)).unwrap_or(0);
    format!("{}...", &clean[..cut])
}

fn visible(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = (!character.is_control()).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

/// `131072` as `131,072`, for people.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_the_value_and_the_limit() {
        let error = Invalid::field("volume.spacing_x_mm", 0.0, "0.05 to 20 mm");
        let rejected = error.rejected("s1");
        assert_eq!(rejected.message, "scan s1: volume.spacing_x_mm is 0; it must be 0.05 to 20 mm");
        assert_eq!((rejected.value.as_str(), rejected.limit.as_str()), ("0", "0.05 to 20 mm"));
        assert!(!rejected.retryable);
    }

    #[test]
    fn an_error_about_no_scan_names_none() {
        let rejected = Invalid::field("hello", "", "the first message of a session").rejected("");
        assert_eq!(rejected.message, "hello is missing; it must be the first message of a session");
        assert_eq!(rejected.scan_id, "");
    }

    #[test]
    fn a_huge_value_makes_no_huge_error() {
        let error = Invalid::field("scan_id", "ü".repeat(10_000), "short");
        assert!(error.value.len() <= VALUE_BYTES && error.value.ends_with("..."));
        assert!(error.rejected(&"\u{7}".repeat(10_000)).scan_id.len() <= 128);
    }

    #[test]
    fn what_may_be_sent_again_as_it_is_says_so_in_words_and_in_its_flag() {
        for code in (1..=8).map(|code| RejectCode::try_from(code).unwrap()) {
            let rejected = Invalid::field("scan", "1", "2").because(code, "x").rejected("s1");
            let row = include_str!("../../../docs/errors.md")
                .lines()
                .find(|row| {
                    row.starts_with(&format!("| `{}` |", &code.as_str_name()["REJECT_CODE_".len()..]))
                })
                .unwrap();
            let advice = row.split('|').nth(3).unwrap().trim();
            assert_eq!(rejected.retryable, advice.starts_with("send it again"), "{row}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        let grouped = [0, 999, 1_000, 131_072, 1_000_000].map(thousands);
        assert_eq!(grouped, ["0", "999", "1,000", "131,072", "1,000,000"]);
    }
}
