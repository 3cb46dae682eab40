//! Texts that are stored and are no keys. Scans and rows are held to the same limits.

use crate::Invalid;
use crate::ids::{ID_BYTES, ScanId, check_id};
use crate::invalid::shorten_to;

/// A text of at most `longest` bytes without control characters.
pub(crate) struct Text {
    field: &'static str,
    longest: usize,
}

impl Text {
    pub(crate) const fn new(field: &'static str, longest: usize) -> Self {
        Self { field, longest }
    }

    pub(crate) fn check(&self, text: &str) -> Result<(), Invalid> {
        let Self { field, longest } = *self;
        if text.len() <= longest && !text.chars().any(char::is_control) {
            return Ok(());
        }
        Err(Invalid::field(field, text, format!("at most {longest} bytes without control characters")))
    }
}

pub(crate) const TRAY_RUN: Text = Text::new("place.tray_run", 128);
pub(crate) const BATCH_ID: Text = Text::new("batch_id", 128);
pub(crate) const COIL: Text = Text::new("coil", 64);
pub(crate) const TRACEPARENT: Text = Text::new("traceparent", 64);
/// The most of a line's owner.
pub(crate) const OWNER: Text = Text::new("owner", 64);
/// The most of a policy's name: its label has a fingerprint beside it.
pub(crate) const POLICY: Text = Text::new("policy.name", 128);

/// The most of a verdict's detail as it is written, in bytes: a sentence or two.
const DETAIL_WRITTEN: usize = 1_024;
/// The most that is taken: older programs wrote details of any length, with line breaks.
const DETAIL_TAKEN: usize = 4_096;

/// A text for the detail of a verdict: cut, with control characters made visible.
pub fn detail(text: &str) -> String {
    shorten_to(text, DETAIL_WRITTEN)
}

/// The scan that another one repeats, if it names one.
pub(crate) fn rescan_of(text: &str) -> Result<Option<ScanId>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    check_id("rescan_of", text, ID_BYTES)?;
    ScanId::parse(text).map(Some)
}

pub(crate) fn check_detail(text: &str) -> Result<(), Invalid> {
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if text.len() <= DETAIL_TAKEN && text.chars().all(is_allowed) {
        return Ok(());
    }
    let limit =
        format!("at most {DETAIL_TAKEN} bytes without control characters other than line breaks and tabs");
    Err(Invalid::field("verdict.detail", text, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_cut_and_shows_what_would_be_a_control_character() {
        assert_eq!(detail("as it is"), "as it is");
        assert_eq!(detail("two\nlines"), "two\\nlines");
        assert!(detail(&"é".repeat(4_096)).len() <= DETAIL_WRITTEN);
    }
}
