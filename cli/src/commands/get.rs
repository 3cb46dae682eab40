//! `ovomesh get`: all scans of an egg.

use std::process::ExitCode;

use jiff::tz::TimeZone;
use ovomesh_api::pb::query::v1::GetEggRequest;

use crate::{Global, Out, client, row};

const EXAMPLES: &str = "\
Examples:
  ovomesh get egg-7-42
  ovomesh get egg-7-42 --site north              when several sites have an egg of this name
  ovomesh --output json get egg-7-42 | jq .verdict.p_female";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The egg, as its source named it
    #[arg(value_name = "EGG")]
    egg: String,
    /// Its site; needed only when several have an egg of this name
    #[arg(long, value_name = "SITE", default_value = "", hide_default_value = true)]
    site: String,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let query = client::query(global).await?;
    let question = GetEggRequest { egg_id: args.egg.clone(), site: args.site.clone() };
    let found = query.get_egg(question).await.map_err(client::failure)?;
    if out.is_json() {
        found.iter().try_for_each(|row| out.json(&row::json(row)))?;
    } else {
        let zone = TimeZone::system();
        let cells = found.iter().map(|row| row::cells(row, &zone));
        out.table(&row::COLUMNS, cells)?;
    }
    Ok(ExitCode::SUCCESS)
}
