//! Which lines have rows: the partitions of `hours_by_line`, of which there is one for each line.

use ovomesh_api::{LineId, Site};
use scylla::response::PagingState;

use super::read::{ReadError, damaged, page};
use super::tables::Tables;
use crate::store::StoredLines;

impl Tables {
    /// Reads the keys of all partitions, which arrive in the database's order.
    pub async fn list_lines(&self, site: Option<&Site>, limit: usize) -> Result<StoredLines, ReadError> {
        let (mut found, mut state) = (StoredLines::default(), PagingState::start());
        loop {
            let (keys, next) = page::<(String, String)>(&self.session, &self.list_lines, (), state).await?;
            for (of, line) in keys {
                if site.is_none_or(|site| site.as_str() == of) {
                    found.lines.push(LineId::parse(&of, &line).map_err(damaged)?);
                }
            }
            found.more = found.lines.len() > limit;
            match next {
                Some(next) if !found.more => state = next,
                _ => break,
            }
        }
        found.lines.sort_unstable();
        found.lines.truncate(limit);
        Ok(found)
    }
}
