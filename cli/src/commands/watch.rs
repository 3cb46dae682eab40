//! `ovomesh watch`: decisions as they are stored.

use std::process::ExitCode;
use std::time::Duration;

use jiff::tz::TimeZone;
use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{WatchRequest, WatchResponse};
use ovomesh_mesh::Backoff;
use tokio::time::Instant;
use tonic::Code;

use crate::commands::list::{CallArg, filter};
use crate::exit::Failure;
use crate::{Global, Out, client, rows};

/// A feed that cannot be taken up again for so long has ended: longer than any restart takes.
const GIVE_UP: Duration = Duration::from_secs(300);

const EXAMPLES: &str = "\
Examples:
  ovomesh watch
  ovomesh watch --site north --line 1 --call undecided
  ovomesh --output json watch | jq -r .egg_id

When the feed breaks, the command reconnects and continues where it broke. A decision may appear twice; count by scan_id.";

/// Which decisions.
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
    let mut feed = Feed {
        request: WatchRequest {
            site: args.site.clone().unwrap_or_default(),
            line: args.line.clone().unwrap_or_default(),
            filter: filter(&args.calls),
            resume_token: String::new(),
        },
        zone: TimeZone::system(),
        live_at: None,
        backoff: Backoff::default(),
    };
    tokio::select! {
        ended = feed.run(global, out) => ended.map(|()| ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

/// A feed over all its breaks.
struct Feed {
    request: WatchRequest,
    zone: TimeZone,
    /// When the last message came.
    live_at: Option<Instant>,
    backoff: Backoff,
}

impl Feed {
    async fn run(&mut self, global: &Global, out: &mut Out) -> anyhow::Result<()> {
        loop {
            let why = self.follow(global, out).await?;
            // A feed that never was live fails at once: a wrong address should not look like patience.
            let Some(live_at) = self.live_at else { return Err(why) };
            if live_at.elapsed() >= GIVE_UP {
                return Err(why.context(format!("gave up after {} s", GIVE_UP.as_secs())));
            }
            out.remark(format!("the feed broke: {why:#}; reconnecting"))?;
            self.backoff.wait().await;
        }
    }

    /// Follows until it breaks and says why; errors are final.
    async fn follow(&mut self, global: &Global, out: &mut Out) -> anyhow::Result<anyhow::Error> {
        let mut query = match client::query(global).await {
            Ok(query) => query,
            Err(error) => return Ok(error),
        };
        let mut feed = match query.watch(self.request.clone()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.broken(global, &status),
        };
        loop {
            match feed.message().await {
                Ok(Some(message)) => self.show(message, out)?,
                Ok(None) => {
                    let ended = format!("{} ended the feed", client::name(&global.query));
                    return Ok(Failure::NoServer(ended).into());
                }
                Err(status) => return self.broken(global, &status),
            }
        }
    }

    fn broken(&self, global: &Global, status: &tonic::Status) -> anyhow::Result<anyhow::Error> {
        let why = client::refused(&global.query, status);
        match status.code() {
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => {
                Err(why)
            }
            _ => Ok(why),
        }
    }

    fn show(&mut self, message: WatchResponse, out: &mut Out) -> anyhow::Result<()> {
        self.live_at = Some(Instant::now());
        self.backoff.reset();
        match message.message {
            Some(Message::Rows(found)) => {
                for row in &found.rows {
                    if out.is_json() {
                        out.json(&rows::json(row))?;
                    } else {
                        out.line(rows::feed_line(row, &self.zone, out.colour))?;
                    }
                }
            }
            Some(Message::Lagged(lagged)) => out.remark(format!(
                "lagged: at least {} decisions are missing here; `ovomesh list` shows them",
                lagged.rows
            ))?,
            // A kind of message of a later version.
            None => {}
        }
        // Only now: what was not shown must come again.
        if !message.resume_token.is_empty() {
            self.request.resume_token = message.resume_token;
        }
        Ok(())
    }
}
