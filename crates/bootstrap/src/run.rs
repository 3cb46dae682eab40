//! From `main` to the last task: runtime, telemetry, listener, signals, drain.

use std::fmt;
use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use ovomesh_mesh::Lifecycle;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{ServerArgs, TelemetryArgs, metrics, supervisor, telemetry, tls};

/// Runs a service to its end. Prints `<service> listening on <address>` once it can be connected to.
///
/// SIGTERM or SIGINT begins the drain, a second one ends the process at once.
///
/// # Errors
/// What kept the service from starting or broke it, or that it had not finished when its drain was over.
pub fn main<C, F>(
    service: &'static str,
    server: &ServerArgs,
    telemetry: &TelemetryArgs,
    config: impl FnOnce() -> anyhow::Result<C>,
    run: impl FnOnce(C, TcpListener, Lifecycle) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = anyhow::Result<()>>,
{
    runtime(server.io_threads)?.block_on(async {
        let telemetry = telemetry::start(service, server.instance(), telemetry)?;
        let result = match config() {
            Ok(config) => {
                started(service, server, |listener, lifecycle| run(config, listener, lifecycle)).await
            }
            Err(error) => Err(error),
        };
        telemetry.stop().await;
        Ok(result?)
    })
}

/// Why a service ended. Returned from `main` it is one line, the last one, whatever `RUST_BACKTRACE` says.
pub struct Failure(String);

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The runtime of a program: with one thread everything runs on the caller's own. The program may open as many files
/// as the system lets it.
pub fn runtime(io_threads: u16) -> anyhow::Result<tokio::runtime::Runtime> {
    raise_file_limit();
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

/// Each connection is an open file, and the usual limit of 1,024 only protects programs that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, current, maximum, "the limit of open files could not be raised");
    }
}

async fn started<F>(
    service: &'static str,
    server: &ServerArgs,
    run: impl FnOnce(TcpListener, Lifecycle) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    tls::install_provider();
    // Before anything counts: handles are made once and kept.
    metrics::handle();
    let listen = server.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("listening on {listen}: is another program there? --listen takes another address")
    })?;
    // Before anybody can know that this process is there, and so send it a signal.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    announce(service, &listener)?;
    let lifecycle = Lifecycle::new();
    let grace = Duration::from_secs(server.drain_seconds);
    tokio::select! {
        result = to_the_end(service, grace, &lifecycle, run(listener, lifecycle.clone())) => result,
        () = obey(service, signals, &lifecycle) => {
            anyhow::bail!("{service} received a second signal to end and stopped at once: {} tasks were not finished", lifecycle.tasks.len())
        }
        () = supervisor::is_alive() => Ok(()),
    }
}

fn announce(service: &str, listener: &TcpListener) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    // The parent may have closed our output: that is no reason to stop.
    let _ = writeln!(out, "{service} listening on {}", listener.local_addr()?).and_then(|()| out.flush());
    Ok(())
}

/// Begins the drain at the first signal, returns at the second.
async fn obey(service: &str, (mut terminate, mut interrupt): (Signal, Signal), lifecycle: &Lifecycle) {
    let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
    next().await;
    tracing::info!("{service} drains: it finishes what it has and takes nothing new");
    supervisor::leaves();
    lifecycle.drain.cancel();
    next().await;
}

/// Runs `service` and then its tasks to their end, both together at most `grace` after the drain has begun.
async fn to_the_end(
    name: &str,
    grace: Duration,
    lifecycle: &Lifecycle,
    service: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let late = async {
        lifecycle.drain.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let mut late = pin!(late);
    let too_slow = || {
        let (seconds, left) = (grace.as_secs(), lifecycle.tasks.len().max(1));
        anyhow!(
            "{name} did not finish within {seconds} s: {left} tasks or callers were left; --drain-seconds gives more time"
        )
    };
    let result = tokio::select! {
        biased;
        result = service => result,
        () = &mut late => return Err(too_slow()),
    };
    // It may have ended without a drain: what it left should end too.
    lifecycle.drain.cancel();
    lifecycle.tasks.close();
    if let Err(error) = &result {
        tracing::error!("{name} ends: {error:#}");
    }
    tokio::select! {
        biased;
        () = lifecycle.tasks.wait() => result,
        // The cause of a failure matters more than what it left.
        () = &mut late => result.and_then(|()| Err(too_slow())),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    /// Drains at once; gives the result and how long it took on the runtime's clock.
    async fn drain(
        lifecycle: Lifecycle,
        service: impl Future<Output = anyhow::Result<()>>,
    ) -> (anyhow::Result<()>, Duration) {
        let begun = tokio::time::Instant::now();
        lifecycle.drain.cancel();
        (to_the_end("service", GRACE, &lifecycle, service).await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_what_runs() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("work", tokio::time::sleep(Duration::from_secs(7)));
        let service = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(())
        };
        let (result, took) = drain(lifecycle, service).await;
        assert!(result.is_ok());
        assert_eq!(took.as_secs(), 7, "both side by side");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_gives_up_at_its_deadline_and_says_what_was_left() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("stuck", pending());
        lifecycle.spawn("stuck too", pending());
        let service = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok(())
        };
        let (result, took) = drain(lifecycle, service).await;
        assert!(result.unwrap_err().to_string().contains("within 10 s: 2 tasks"));
        assert_eq!(took.as_secs(), 10, "the service and its tasks have one deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_breaks_takes_its_tasks_along() {
        let lifecycle = Lifecycle::new();
        let drain = lifecycle.drain.clone();
        lifecycle.spawn("follower", async move { drain.cancelled().await });
        let result = to_the_end("service", GRACE, &lifecycle, async { anyhow::bail!("broken") }).await;
        assert_eq!(result.unwrap_err().to_string(), "broken");
        assert!(lifecycle.tasks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_cause_of_a_failure_is_the_result_even_when_a_task_is_stuck() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("stuck", pending());
        let result = to_the_end("service", GRACE, &lifecycle, async { anyhow::bail!("broken") }).await;
        assert_eq!(result.unwrap_err().to_string(), "broken");
    }
}
