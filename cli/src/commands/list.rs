//! `ovomesh list`: the scans of a line.

use std::process::ExitCode;

use jiff::Timestamp;
use ovomesh_api::pb::query::v1::{Filter, ListScansRequest};
use ovomesh_api::pb::scan::v1::Call;
use ovomesh_api::time;
use ovomesh_client::Query;

use crate::exit::Failure;
use crate::lines::{self, LineLookup};
use crate::timestamps::Given;
use crate::{Global, Out, client, pages, timestamps};

const EXAMPLES: &str = "\
Examples:
  ovomesh list --site north --line 1                         the first 100 scans of the last hour
  ovomesh list --site north --line 1 --from -10m --call undecided
  ovomesh list --site north --line 1 --from 2026-11-24T06:00:00Z --to 2026-11-24T07:00:00Z --limit 25000";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The hatchery
    #[arg(long, env = "OVOMESH_SITE", value_name = "NAME")]
    site: String,
    /// The line; `ovomesh lines` lists them
    #[arg(long, env = "OVOMESH_LINE", value_name = "NAME")]
    line: String,
    /// Start of the range, inclusive: RFC 3339, `now`, or relative such as -1h
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true, value_parser = Given::parse)]
    from: Given,
    /// End of the range, exclusive
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true, value_parser = Given::parse)]
    to: Given,
    /// Only these calls
    #[arg(long = "call", value_enum, value_delimiter = ',', value_name = "CALL")]
    calls: Vec<CallArg>,
    /// Show at most this many scans
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// A call on the command line.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(crate) enum CallArg {
    /// A living female embryo
    Female,
    /// A living male embryo
    Male,
    /// Infertile, or the embryo died
    NoEmbryo,
    /// No safe decision
    Undecided,
}

/// What to keep.
pub(crate) fn filter(calls: &[CallArg]) -> Option<Filter> {
    let code = |call: &CallArg| match call {
        CallArg::Female => Call::Female,
        CallArg::Male => Call::Male,
        CallArg::NoEmbryo => Call::NoEmbryo,
        CallArg::Undecided => Call::Undecided,
    };
    let calls: Vec<i32> = calls.iter().map(|call| code(call).into()).collect();
    (!calls.is_empty()).then(|| Filter { calls, ..Filter::default() })
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let [from, to] = [&args.from, &args.to].map(|given| given.at(now).map_err(Failure::Usage));
    let (from, to) = (from?, to?);
    if from >= to {
        return Err(Failure::Usage(format!("--from {from} is not before --to {to}")).into());
    }
    let query = client::query(global).await?;
    let question = ListScansRequest {
        site: args.site.clone(),
        line: args.line.clone(),
        from: Some(time::to_pb(from)),
        to: Some(time::to_pb(to)),
        filter: filter(&args.calls),
        ..ListScansRequest::default()
    };
    let ask = async |page_size, page_token| {
        query.list_scans(ListScansRequest { page_size, page_token, ..question.clone() }).await
    };
    if !pages::show(args.limit, ask, global, out).await? {
        return empty(&query, args, out).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// An empty answer says what there is instead: a line that was never seen is mostly a wrong name.
async fn empty(query: &Query, args: &Args, out: &mut Out) -> anyhow::Result<ExitCode> {
    let Args { site, line, from, to, calls, .. } = args;
    let such = if calls.is_empty() { "" } else { "such " };
    let none = format!("no {such}scans of {site}/{line} {}", timestamps::between(from, to, Timestamp::now()));
    match lines::look_up(query, site, line).await {
        LineLookup::Found if calls.is_empty() => {
            out.remark(format!("{none}; an earlier --from may find some"))?;
        }
        LineLookup::Found | LineLookup::Unknown => out.remark(none)?,
        LineLookup::Absent(others) => return Err(Failure::NotFound(format!("{none}; {others}")).into()),
    }
    Ok(ExitCode::SUCCESS)
}
