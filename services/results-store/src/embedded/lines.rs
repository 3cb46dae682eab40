//! Which lines have rows: a jump from the first key of one line to the first key of the next.

use fjall::Readable as _;
use ovomesh_api::Site;

use super::tables::{ReadError, Tables};
use crate::keys;
use crate::store::StoredLines;

impl Tables {
    /// One seek for each line, however many rows it has.
    pub fn list_lines(&self, site: Option<&Site>, limit: usize) -> Result<StoredLines, ReadError> {
        let now = self.database.snapshot();
        let mut from = site.map(keys::site_prefix).unwrap_or_default();
        let mut found = StoredLines::default();
        while let Some(entry) = now.range(&self.rows, from..).next() {
            let key = entry.key()?;
            let (at, line) = keys::read_line(&key)
                .ok_or_else(|| ReadError::Damaged(format!("the key {key:?} names no line")))?;
            if site.is_some_and(|site| *site != at) {
                break;
            }
            if found.lines.len() == limit {
                found.more = true;
                break;
            }
            from = keys::after_line(&at, &line);
            found.lines.push((at, line));
        }
        Ok(found)
    }
}
