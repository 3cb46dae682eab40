//! `ovomesh status`: how each service is.

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Color;
use futures::future::join_all;
use jiff::Timestamp;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_bootstrap::status::pb::{GetStatusRequest, GetStatusResponse};
use ovomesh_mesh::explain;
use serde_json::{Value, json};
use tonic::transport::Uri;

use crate::args::url;
use crate::exit::Failure;
use crate::table::{Column, Field};
use crate::{Global, Out, client, when};

/// Longest wait for one service.
const PATIENCE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  ovomesh status                                   the services on this machine at their usual ports
  ovomesh status --service http://10.0.0.5:7720,http://10.0.0.6:7720
  ovomesh status --agent http://line-1.north:7690,http://line-2.north:7690
  ovomesh --output json status | jq 'select(.ready | not)'

Fails when a service cannot be reached or is not ready. An agent that is not running is a failure only if --agent names it.";

/// Which services.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The services, separated by commas. Default: the gateway and query service that --gateway and --query name, and
    /// results-store (7702), preprocess (7710) and inference (7720) on this machine
    #[arg(long = "service", env = "OVOMESH_SERVICES", value_name = "URL", value_delimiter = ',', value_parser = url)]
    services: Vec<Uri>,
    /// The agents at the edge, separated by commas. Default: the one on this machine (7690), if there is one
    #[arg(long = "agent", env = "OVOMESH_AGENTS", value_name = "URL", value_delimiter = ',', value_parser = url)]
    agents: Vec<Uri>,
}

/// Ports of the services behind the gateway.
const BEHIND: [u16; 3] = [7702, 7710, 7720];
/// Port of an agent.
const AGENT: u16 = 7690;

const COLUMNS: [Column; 8] = [
    Column::Text("SERVICE"),
    Column::Text("INSTANCE"),
    Column::Text("URL"),
    Column::Text("VERSION"),
    Column::Text("READY"),
    Column::Number("BACKLOG"),
    Column::Number("OLDEST"),
    Column::Text("LAST ERROR"),
];

/// Columns of what only some services know.
const FACTS: [Column; 4] =
    [Column::Text("SERVICE"), Column::Text("INSTANCE"), Column::Text("FACT"), Column::Text("VALUE")];

/// Longest error in the table; `--output json` has all of it.
const ERROR_CHARS: usize = 120;

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> anyhow::Result<ExitCode> {
    let mut services = services(args, global);
    let mut answers = join_all(services.iter().map(|service| ask(global, service))).await;
    // Most meshes have no agent on the same machine: one that nobody named may be missing.
    let unnamed = args.agents.is_empty() && args.services.is_empty();
    let is_missing = unnamed && answers.last().is_some_and(Result::is_err);
    if is_missing {
        services.pop();
        answers.pop();
    }
    let now = Timestamp::now();
    let answered = services.iter().zip(&answers);
    if out.is_json() {
        answered.clone().try_for_each(|(service, answer)| out.json(&object(service, answer)))?;
    } else {
        out.table(&COLUMNS, answered.clone().map(|(service, answer)| cells(service, answer, now)))?;
        if is_missing {
            out.line(format!("no agent on this machine (port {AGENT}); --agent asks one elsewhere"))?;
        }
        let facts: Vec<_> = answers.iter().flatten().flat_map(facts).collect();
        if !facts.is_empty() {
            out.line("")?;
            out.table(&FACTS, facts)?;
        }
    }
    if answers.iter().all(Result::is_err) {
        return Err(Failure::NoServer(
            "no service answers; is ovomesh running, and on these addresses?".into(),
        )
        .into());
    }
    let well = answers.iter().all(|answer| answer.as_ref().is_ok_and(|status| status.ready));
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whom to ask: the agents last.
fn services(args: &Args, global: &Global) -> Vec<Uri> {
    let here = |port| url(&format!("127.0.0.1:{port}")).ok();
    let mut services = args.services.clone();
    if services.is_empty() {
        services.extend([global.gateway.clone(), global.query.clone()]);
        services.extend(BEHIND.into_iter().filter_map(here));
        services.extend(here(AGENT).filter(|_| args.agents.is_empty()));
    }
    services.extend(args.agents.iter().cloned());
    services
}

async fn ask(global: &Global, service: &Uri) -> Result<GetStatusResponse, String> {
    let asking = async {
        let connector = global.tls.connector().map_err(|error| format!("{error:#}"))?;
        let channel = connector.connect(service).await.map_err(|error| explain(&error))?;
        let answer = StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| explain(&status))
    };
    let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(late)
}

fn cells(service: &Uri, answer: &Result<GetStatusResponse, String>, now: Timestamp) -> [Field; 8] {
    let url = client::name(service);
    let dash = || Field::from("-");
    let status = match answer {
        Ok(status) => status,
        Err(why) => {
            let unreachable = Field::from("unreachable").coloured(Color::Red);
            return [dash(), dash(), url.into(), dash(), unreachable, dash(), dash(), why.as_str().into()];
        }
    };
    let ready = if status.ready { Field::from("yes") } else { Field::from("no").coloured(Color::Yellow) };
    let last_error = match when::stamp(status.last_error_at.as_ref()) {
        Some(at) if !status.last_error.is_empty() => {
            format!("{} ago: {}", when::ago(at, now), status.last_error)
        }
        _ => status.last_error.clone(),
    };
    [
        status.service.clone().into(),
        status.instance.clone().into(),
        url.into(),
        status.version.clone().into(),
        ready,
        status.backlog.to_string().into(),
        oldest(status.oldest_unanswered_ms).into(),
        shortened(&last_error).into(),
    ]
}

fn shortened(error: &str) -> String {
    let short: String = error.chars().take(ERROR_CHARS).collect();
    if short.len() < error.len() { short + "..." } else { short }
}

fn facts(status: &GetStatusResponse) -> Vec<[Field; 4]> {
    let mut facts: Vec<_> = status.details.iter().collect();
    facts.sort_unstable();
    let names = || [&status.service, &status.instance];
    let row = |(fact, value)| {
        let [service, instance] = names();
        [service, instance, fact, value].map(|text| Field::from(text.as_str()))
    };
    facts.into_iter().map(row).collect()
}

fn oldest(ms: u64) -> String {
    match ms {
        0 => "-".into(),
        1..10_000 => format!("{ms} ms"),
        _ => format!("{} s", ms / 1000),
    }
}

fn object(service: &Uri, answer: &Result<GetStatusResponse, String>) -> Value {
    match answer {
        Err(why) => json!({ "url": service.to_string(), "reachable": false, "ready": false, "error": why }),
        Ok(status) => json!({
            "url": service.to_string(),
            "reachable": true,
            "service": status.service,
            "instance": status.instance,
            "version": status.version,
            "started_at": when::stamp(status.started_at.as_ref()),
            "ready": status.ready,
            "backlog": status.backlog,
            "oldest_unanswered_ms": status.oldest_unanswered_ms,
            "last_error": status.last_error,
            "last_error_at": when::stamp(status.last_error_at.as_ref()),
            "details": status.details,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn a_healthy_a_starting_and_a_dead_service_read_like_this() {
        let now: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let inference = GetStatusResponse {
            service: "inference".into(),
            instance: "inference-1".into(),
            version: "0.1.0".into(),
            ready: true,
            backlog: 12,
            oldest_unanswered_ms: 8,
            details: [("model".to_owned(), "egg-pose/0.3.1".to_owned()), ("device".into(), "cpu".into())]
                .into(),
            ..Default::default()
        };
        let gateway = GetStatusResponse {
            service: "scanner-gateway".into(),
            instance: "gw".into(),
            version: "0.1.0".into(),
            last_error: "inference: no replica".into(),
            last_error_at: Some(prost_types::Timestamp { seconds: now.as_second() - 90, nanos: 0 }),
            ..Default::default()
        };
        let told = [Ok(inference), Ok(gateway), Err("Connection refused (os error 111)".to_owned())];
        let uri = Uri::from_static("http://127.0.0.1:7700");
        let text = table::render(&COLUMNS, told.iter().map(|answer| cells(&uri, answer, now)), false, None);
        assert_eq!(
            text,
            "\
SERVICE          INSTANCE     URL                    VERSION  READY        BACKLOG  OLDEST  LAST ERROR
inference        inference-1  http://127.0.0.1:7700  0.1.0    yes               12    8 ms
scanner-gateway  gw           http://127.0.0.1:7700  0.1.0    no                 0       -  1 min ago: inference: no replica
-                -            http://127.0.0.1:7700  -        unreachable        -       -  Connection refused (os error 111)"
        );
        let facts: Vec<_> = told.iter().flatten().flat_map(facts).collect();
        assert_eq!(
            table::render(&FACTS, facts, false, None),
            "\
SERVICE    INSTANCE     FACT    VALUE
inference  inference-1  device  cpu
inference  inference-1  model   egg-pose/0.3.1"
        );
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let long = "\u{e4}".repeat(500);
        assert_eq!(shortened(&long).chars().count(), ERROR_CHARS + 3);
        assert_eq!(shortened("short"), "short");
    }
}
