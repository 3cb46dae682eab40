//! `ovomesh status`: how each service is.

use std::collections::HashSet;
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

use crate::exit::Failure;
use crate::global::url;
use crate::table::{Column, Field};
use crate::{Global, Out, client, timestamps};

/// Longest wait for one service.
const PATIENCE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  ovomesh status                                   the services on this machine at their usual ports
  ovomesh status --service http://10.0.0.5:7720,http://10.0.0.6:7720
  ovomesh status --agent http://line-1.north:7690,http://line-2.north:7690
  ovomesh --output json status | jq 'select(.ready | not)'

Fails when a service cannot be reached or is not ready. An agent that is not running is a failure only if --agent names it.";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The services, separated by commas. Default: the gateway and query service that --gateway and --query name, and
    /// results-store (7702), preprocess (7710) and inference (7720) on this machine, which may be one process (ovomeshd)
    #[arg(long = "service", env = "OVOMESH_SERVICES", value_name = "URL", value_delimiter = ',', value_parser = url)]
    services: Vec<Uri>,
    /// The agents at the edge, separated by commas. Default: the one on this machine (7690), if there is one
    #[arg(long = "agent", env = "OVOMESH_AGENTS", value_name = "URL", value_delimiter = ',', value_parser = url)]
    agents: Vec<Uri>,
}

/// The services behind the gateway and their ports.
const BEHIND: [(&str, u16); 3] = [("results-store", 7702), ("preprocess", 7710), ("inference", 7720)];
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
    let services = services(args, global);
    let answers = join_all(services.iter().map(|service| ask(global, service))).await;
    let mut answered: Vec<_> = services.into_iter().zip(answers).collect();
    // Most meshes have no agent on the same machine: one that nobody named may be missing.
    let unnamed = args.agents.is_empty() && args.services.is_empty();
    let is_missing = unnamed && answered.last().is_some_and(|(_, answer)| answer.is_err());
    if is_missing {
        answered.pop();
    }
    add_same_process(&mut answered, args.services.is_empty());
    let now = Timestamp::now();
    if out.is_json() {
        answered.iter().try_for_each(|(service, answer)| out.json(&object(service, answer)))?;
    } else {
        out.table(&COLUMNS, answered.iter().map(|(service, answer)| cells(service, answer, now)))?;
        if is_missing {
            out.line(format!("no agent on this machine (port {AGENT}); --agent asks one elsewhere"))?;
        }
        let facts: Vec<_> = answered.iter().flat_map(|(_, answer)| answer).flat_map(facts).collect();
        if !facts.is_empty() {
            out.line("")?;
            out.table(&FACTS, facts)?;
        }
    }
    if answered.iter().all(|(_, answer)| answer.is_err()) {
        return Err(Failure::NoServer(
            "no service answers; is ovomesh running, and on these addresses?".into(),
        )
        .into());
    }
    let well = answered.iter().all(|(_, answer)| answer.as_ref().is_ok_and(|status| status.ready));
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A service, and what it answered.
type Answered = (Uri, Result<GetStatusResponse, String>);

/// Adds the services that share a process with one that answered, as all of `ovomeshd` do. Those that nobody named need no
/// port of their own then.
fn add_same_process(answered: &mut Vec<Answered>, is_default: bool) {
    let mut known: HashSet<(String, String)> = HashSet::new();
    let key = |status: &GetStatusResponse| (status.service.clone(), status.instance.clone());
    known.extend(answered.iter().flat_map(|(_, answer)| answer).map(key));
    let mut inside = Vec::new();
    for (url, answer) in answered.iter() {
        for other in answer.iter().flat_map(|status| &status.same_process) {
            if known.insert(key(other)) {
                inside.push((url.clone(), Ok(other.clone())));
            }
        }
    }
    let has = |name: &str| known.iter().any(|(service, _)| service == name);
    let is_behind = |url: &Uri| BEHIND.iter().any(|(name, port)| url.port_u16() == Some(*port) && has(name));
    answered.retain(|(url, answer)| !(is_default && answer.is_err() && is_behind(url)));
    answered.append(&mut inside);
}

/// Whom to ask: the agents last.
fn services(args: &Args, global: &Global) -> Vec<Uri> {
    let here = |port| url(&format!("127.0.0.1:{port}")).ok();
    let mut services = args.services.clone();
    if services.is_empty() {
        services.extend([global.gateway.clone(), global.query.clone()]);
        services.extend(BEHIND.iter().filter_map(|(_, port)| here(*port)));
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
    let last_error = match timestamps::stamp(status.last_error_at.as_ref()) {
        Some(at) if !status.last_error.is_empty() => {
            format!("{} ago: {}", timestamps::ago(at, now), status.last_error)
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
            "started_at": timestamps::stamp(status.started_at.as_ref()),
            "ready": status.ready,
            "backlog": status.backlog,
            "oldest_unanswered_ms": status.oldest_unanswered_ms,
            "last_error": status.last_error,
            "last_error_at": timestamps::stamp(status.last_error_at.as_ref()),
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
        let answers = [Ok(inference), Ok(gateway), Err("Connection refused (os error 111)".to_owned())];
        let uri = Uri::from_static("http://127.0.0.1:7700");
        let text =
            table::render(&COLUMNS, answers.iter().map(|answer| cells(&uri, answer, now)), false, None);
        assert_eq!(
            text,
            "\
SERVICE          INSTANCE     URL                    VERSION  READY        BACKLOG  OLDEST  LAST ERROR
inference        inference-1  http://127.0.0.1:7700  0.1.0    yes               12    8 ms
scanner-gateway  gw           http://127.0.0.1:7700  0.1.0    no                 0       -  1 min ago: inference: no replica
-                -            http://127.0.0.1:7700  -        unreachable        -       -  Connection refused (os error 111)"
        );
        let facts: Vec<_> = answers.iter().flatten().flat_map(facts).collect();
        assert_eq!(
            table::render(&FACTS, facts, false, None),
            "\
SERVICE    INSTANCE     FACT    VALUE
inference  inference-1  device  cpu
inference  inference-1  model   egg-pose/0.3.1"
        );
    }

    #[test]
    fn services_inside_one_process_need_no_port_and_are_shown_once() {
        let status = |service: &str, ready| GetStatusResponse {
            service: service.into(),
            instance: "one".into(),
            ready,
            ..Default::default()
        };
        let at = |port: u16| url(&format!("127.0.0.1:{port}")).unwrap();
        let refused = || Err("Connection refused".to_owned());
        let gateway = GetStatusResponse {
            same_process: vec![status("query", true), status("inference", false), status("preprocess", true)],
            ..status("scanner-gateway", true)
        };
        let query =
            GetStatusResponse { same_process: vec![status("inference", false)], ..status("query", true) };
        let all = || {
            let (gateway, query) = (gateway.clone(), query.clone());
            vec![(at(7700), Ok(gateway)), (at(7701), Ok(query)), (at(7702), refused()), (at(7720), refused())]
        };
        let shown = |is_default| {
            let mut answered = all();
            add_same_process(&mut answered, is_default);
            let name = |(url, answer): (Uri, Result<GetStatusResponse, String>)| {
                let service = answer.map_or("-".to_owned(), |status| status.service);
                format!("{} {service}", url.port_u16().unwrap())
            };
            answered.into_iter().map(name).collect::<Vec<_>>()
        };
        let inside = ["7700 inference", "7700 preprocess"];
        // No results-store is inside, so one is missing.
        let [gateway, query, store] = ["7700 scanner-gateway", "7701 query", "7702 -"];
        assert_eq!(shown(true), [&[gateway, query, store][..], &inside].concat());
        assert_eq!(
            shown(false),
            [&[gateway, query, store, "7720 -"][..], &inside].concat(),
            "what was named"
        );
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let long = "\u{e4}".repeat(500);
        assert_eq!(shortened(&long).chars().count(), ERROR_CHARS + 3);
        assert_eq!(shortened("short"), "short");
    }
}
