//! The files for people beside a model: its card and the card's pictures.

use crate::report::Report;
use crate::{card, pictures};
use anyhow::{Context, Result};
use std::path::Path;

/// Writes the card and its pictures.
pub(crate) fn publish(report: &Report, folder: &Path) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("CARD.md", &card::card(report))?;
    pictures::pictures(report).iter().try_for_each(|(name, picture)| write(name, picture))
}
