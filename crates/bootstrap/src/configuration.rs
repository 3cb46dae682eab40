//! Files that configure a service.

use std::path::Path;

use anyhow::Context as _;

/// Reads and parses a file of configuration; without one, the default.
///
/// # Errors
/// Names the file, and what its parser says.
pub fn configuration<T, E>(file: Option<&Path>, parse: impl FnOnce(&str) -> Result<T, E>) -> anyhow::Result<T>
where
    T: Default,
    E: std::error::Error + Send + Sync + 'static,
{
    let Some(file) = file else { return Ok(T::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    parse(&text).with_context(|| format!("in {}", file.display()))
}
