//! `ovomesh watch`: decisions as they are stored.

use std::process::ExitCode;

use jiff::tz::TimeZone;
use ovomesh_api::pb::query::v1::WatchRequest;
use ovomesh_client::WatchEvent;

use crate::commands::list::{CallArg, filter};
use crate::{Global, Out, client, row};

const EXAMPLES: &str = "\
Examples:
  ovomesh watch
  ovomesh watch --site north --line 1 --call undecided
  ovomesh --output json watch | jq -r .egg_id

When the feed breaks, the command reconnects and continues where it broke. A scan appears again only when another decision
replaced the first.";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this hatchery
    #[arg(long, env = "OVOMESH_SITE", value_name = "NAME")]
    site: Option<String>,
    /// Only this line
    #[arg(long, env = "OVOMESH_LINE", value_name = "NAME")]
    line: Option<String>,
    /// Only these calls
    #[arg(long = "call", value_enum, value_delimiter = ',', value_name = "CALL")]
    calls: Vec<CallArg>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let request = WatchRequest {
        site: args.site.clone().unwrap_or_default(),
        line: args.line.clone().unwrap_or_default(),
        filter: filter(&args.calls),
        resume_token: String::new(),
    };
    let watching = async {
        let mut feed = client::query(global).await?.watch(request).await.map_err(client::failure)?;
        let zone = TimeZone::system();
        loop {
            show(feed.next().await.map_err(client::failure)?, &zone, out)?;
        }
    };
    tokio::select! {
        ended = watching => ended,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

fn show(event: WatchEvent, zone: &TimeZone, out: &mut Out) -> anyhow::Result<()> {
    match event {
        WatchEvent::Live => Ok(()),
        WatchEvent::Rows(found) if out.is_json() => {
            found.iter().try_for_each(|row| out.json(&row::json(row)))
        }
        WatchEvent::Rows(found) => {
            found.iter().try_for_each(|row| out.line(row::feed_line(row, zone, out.colour)))
        }
        WatchEvent::Lagged(missing) => out.remark(format!(
            "lagged: at least {missing} decisions are missing here; `ovomesh list` shows them"
        )),
        WatchEvent::Broken(why) => out.remark(format!("the feed broke: {why}; reconnecting")),
    }
}
