//! Texts that are stored and are no keys. Scans and rows are held to the same limits.

use crate::Invalid;
use crate::ids::{ID_BYTES, ScanId, check_id};
use crate::invalid::shorten_to;
use crate::pb::scan::v1 as pb;

/// A text of at most `longest` bytes without control characters.
pub(crate) struct Text {
    field: &'static str,
    longest: usize,
}

impl Text {
    const fn new(field: &'static str, longest: usize) -> Self {
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
/// The most that is taken: older programs wrote details as long as they came, with line breaks.
const DETAIL_TAKEN: usize = 4_096;
/// The most of each text that says with what a verdict was computed: a model is named by two folders.
const PROVENANCE: usize = 512;

/// A text for [`pb::Verdict::detail`]: cut, with control characters made visible.
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

/// Checks the texts of a row. Its keys and its place have types that check them, and its owner comes from a configuration
/// that was checked.
///
/// # Errors
/// Names the field and its limit.
pub fn check_row(row: &pb::Row) -> Result<(), Invalid> {
    BATCH_ID.check(&row.batch_id)?;
    COIL.check(&row.coil)?;
    rescan_of(&row.rescan_of)?;
    let Some(verdict) = &row.verdict else { return Ok(()) };
    check_detail(&verdict.detail)?;
    let Some(by) = &verdict.provenance else { return Ok(()) };
    for (field, text) in [
        ("verdict.provenance.model", &by.model),
        ("verdict.provenance.model_sha256", &by.model_sha256),
        ("verdict.provenance.preprocess", &by.preprocess),
        ("verdict.provenance.device", &by.device),
        ("verdict.provenance.cpu_capability", &by.cpu_capability),
        ("verdict.provenance.policy", &by.policy),
    ] {
        Text::new(field, PROVENANCE).check(text)?;
    }
    Ok(())
}

fn check_detail(text: &str) -> Result<(), Invalid> {
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
    fn the_texts_of_a_row_are_held_to_the_limits_of_a_scan() {
        type Spoil = fn(&mut pb::Row);
        let table: [(&str, Spoil); 7] = [
            ("batch_id", |row| row.batch_id = "x".repeat(129)),
            ("batch_id", |row| row.batch_id = "\u{1b}[2J".into()),
            ("coil", |row| row.coil = "x".repeat(65)),
            ("rescan_of", |row| row.rescan_of = "no id".into()),
            ("verdict.detail", |row| verdict(row).detail = "x".repeat(4_097)),
            ("verdict.detail", |row| verdict(row).detail = "\u{7}".into()),
            ("verdict.provenance.model", |row| {
                verdict(row).provenance.get_or_insert_default().model = "x".repeat(513);
            }),
        ];
        for (field, spoil) in table {
            let mut row = pb::Row { coil: "é".repeat(32), ..Default::default() };
            verdict(&mut row).detail = "libtorch failed:\n\tout of memory".into();
            check_row(&row).unwrap();
            spoil(&mut row);
            let error = check_row(&row).unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.message.len() < 300, "{error}");
        }
    }

    fn verdict(row: &mut pb::Row) -> &mut pb::Verdict {
        row.verdict.get_or_insert_default()
    }

    #[test]
    fn a_detail_is_cut_and_shows_what_would_be_a_control_character() {
        assert_eq!(detail("as it is"), "as it is");
        assert_eq!(detail("two\nlines"), "two\\nlines");
        assert!(detail(&"é".repeat(4_096)).len() <= DETAIL_WRITTEN);
    }
}
