//! From `main` to the last task: runtime, telemetry, listener, signals, drain.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::{ServerArgs, TelemetryArgs, metrics, telemetry, tls};

/// Runs a service to its end. Prints `<service> listening on <address>` once it can be connected to.
pub fn main<F>(
    service: &'static str,
    server: &ServerArgs,
    telemetry: &TelemetryArgs,
    run: impl FnOnce(TcpListener, Lifecycle) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    runtime(server.io_threads)?.block_on(async {
        let _telemetry = telemetry::start(service, server.instance(), telemetry)?;
        tls::install_provider();
        // Before anything counts: handles are made once and kept.
        metrics::handle();
        let listen = server.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening on {listen}: is another program there? --listen takes another address"))?;
        announce(service, &listener)?;
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("signals", drain_on_signal(service, lifecycle.clone()));
        let drain = lifecycle.drain.clone();
        let grace = Duration::from_secs(server.drain_seconds);
        let result = tokio::select! {
            result = run(listener, lifecycle.clone()) => result,
            () = async { drain.cancelled().await; tokio::time::sleep(grace).await } => {
                anyhow::bail!("{service} did not finish within {} s: {} tasks were left", grace.as_secs(), lifecycle.tasks.len())
            }
        };
        lifecycle.drain.cancel();
        lifecycle.tasks.close();
        if tokio::time::timeout(grace, lifecycle.tasks.wait()).await.is_err() {
            tracing::warn!(left = lifecycle.tasks.len(), "{service} left with tasks unfinished");
        }
        result
    })
}

/// The runtime of a program: with one thread everything runs on the caller's own.
pub fn runtime(io_threads: u16) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = match io_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        n => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(n.into());
            builder
        }
    };
    builder.enable_all().build().context("starting the runtime")
}

fn announce(service: &str, listener: &TcpListener) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    // Whoever started this may have closed our output: that is no reason to stop.
    let _ = writeln!(out, "{service} listening on {}", listener.local_addr()?).and_then(|()| out.flush());
    Ok(())
}

async fn drain_on_signal(service: &'static str, lifecycle: Lifecycle) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: {service} ends only by being killed");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // The service ended by itself.
        () = lifecycle.drain.cancelled() => return,
    }
    tracing::info!("{service} drains: it finishes what it has and takes nothing new");
    lifecycle.drain.cancel();
}
