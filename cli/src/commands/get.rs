//! `ovomesh get`: the scans of an egg, newest first.

use std::process::ExitCode;

use ovomesh_api::pb::query::v1::GetEggRequest;

use crate::{Global, Out, client, pages};

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
    /// Show at most this many scans, the newest ones
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let query = client::query(global).await?;
    let ask = async |page_size, page_token| {
        let (egg_id, site) = (args.egg.clone(), args.site.clone());
        query.get_egg(GetEggRequest { egg_id, site, page_size, page_token }).await
    };
    pages::show(args.limit, ask, global, out).await?;
    Ok(ExitCode::SUCCESS)
}
