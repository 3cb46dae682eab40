//! The smallest service, with some pages of its own that the tests of this crate ask for:
//! `cargo run -p ovomesh-bootstrap --example minimal -- --listen 127.0.0.1:8080`, then
//! `curl 127.0.0.1:8080/wait/1000` takes a second, `curl 127.0.0.1:8080/trace/new` begins a trace.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use clap::Parser;
use ovomesh_bootstrap::{Load, PortConfig, Server, ServerArgs, Status, TelemetryArgs, trace};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
    /// What it calls itself
    #[arg(long, default_value = "minimal")]
    name: String,
}

/// Calls that run.
static WAITING: AtomicU64 = AtomicU64::new(0);

struct Ready;

impl Status for Ready {
    fn load(&self) -> Load {
        Load { outstanding: WAITING.load(Relaxed), ..Load::default() }
    }
}

async fn wait(Path(millis): Path<u64>) -> &'static str {
    WAITING.fetch_add(1, Relaxed);
    tokio::time::sleep(Duration::from_millis(millis)).await;
    WAITING.fetch_sub(1, Relaxed);
    "done\n"
}

/// Joins a trace, or begins one; answers what the next service would be told.
async fn join(Path(traceparent): Path<String>) -> String {
    let span = match traceparent.as_str() {
        "new" => trace::enter("", 0.0),
        known => trace::child(known, "work"),
    };
    span.in_scope(|| trace::traceparent(&span))
}

fn main() -> Result<(), ovomesh_bootstrap::Failure> {
    let Args { server, telemetry, name } = Args::parse();
    let name: &'static str = name.leak();
    let config = || PortConfig::try_from(&server);
    ovomesh_bootstrap::main(name, &server, &telemetry, config, |config, listener, lifecycle| async move {
        let pages = Router::new()
            .route("/wait/{millis}", get(wait))
            .route("/waiting", get(|| async { WAITING.load(Relaxed).to_string() }))
            .route("/trace/{traceparent}", get(join));
        Server::new(name, &config).pages(pages).status(Ready).serve(listener, &lifecycle).await
    })
}
