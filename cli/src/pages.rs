//! Answers that come page by page.

use jiff::tz::TimeZone;
use ovomesh_api::Row;
use ovomesh_client::{Error, Page};

use crate::{Global, Out, client, row};

/// Rows a page: the contract's most.
const PAGE: u32 = 1_000;

/// Shows at most `limit` rows, each page at once as JSON, all together as a table, and remarks that there are more. `ask` is
/// given the size and the token of a page. Says whether there was any row.
pub(crate) async fn show(
    limit: u32,
    ask: impl AsyncFn(u32, String) -> Result<Page, Error>,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<bool> {
    let mut left = limit as usize;
    let mut found: Vec<Row> = Vec::new();
    let mut any = false;
    let mut token = String::new();
    let more = loop {
        let mut page = ask(limit.min(PAGE), token.clone()).await.map_err(client::failure)?;
        let cut = page.rows.len() > left;
        page.rows.truncate(left);
        left -= page.rows.len();
        any |= !page.rows.is_empty();
        if out.is_json() {
            page.rows.iter().try_for_each(|row| out.json(&row::json(row)))?;
        } else {
            found.append(&mut page.rows);
        }
        let ended = page.next_page_token.is_empty();
        if left == 0 || ended {
            break cut || !ended;
        }
        anyhow::ensure!(page.next_page_token != token, "{} gave the same page twice", global.query);
        token = page.next_page_token;
    };
    if !out.is_json() && any {
        let zone = TimeZone::system();
        let cells = found.iter().map(|row| row::cells(row, &zone));
        out.table(&row::COLUMNS, cells)?;
    }
    if more {
        out.remark(format!("there are more scans than these {limit}; --limit shows more"))?;
    }
    Ok(any)
}
