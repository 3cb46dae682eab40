//! `ovomesh lines`: which lines have scans.

use std::process::ExitCode;

use ovomesh_api::pb::query::v1::ListLinesRequest;
use serde_json::json;

use crate::exit::Failure;
use crate::table::Column;
use crate::{Global, Out, client};

const EXAMPLES: &str = "\
Examples:
  ovomesh lines
  ovomesh lines --site north
  ovomesh --output json lines | jq -r .line";

const COLUMNS: [Column; 2] = [Column::Text("SITE"), Column::Text("LINE")];

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this hatchery
    #[arg(long, env = "OVOMESH_SITE", value_name = "NAME")]
    site: Option<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let query = client::query(global).await?;
    let question = ListLinesRequest { site: args.site.clone().unwrap_or_default() };
    let found = query.list_lines(question).await.map_err(client::failure)?;
    if let (Some(site), true) = (&args.site, found.lines.is_empty()) {
        return Err(Failure::NotFound(format!("no scans of site {site} are stored")).into());
    }
    if out.is_json() {
        found.lines.iter().try_for_each(|line| out.json(&json!({ "site": line.site, "line": line.line })))?;
    } else if found.lines.is_empty() {
        out.line("no scans are stored yet")?;
    } else {
        let cells = found.lines.iter().map(|line| [line.site.as_str().into(), line.line.as_str().into()]);
        out.table(&COLUMNS, cells)?;
    }
    if found.more {
        out.remark("there are more lines; --site shows those of one hatchery")?;
    }
    Ok(ExitCode::SUCCESS)
}
