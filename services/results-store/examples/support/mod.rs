//! One gateway's stream of rows.

mod row;

use std::time::Duration;

use ovomesh_api::stages::Append;
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_results_store::{Args, Config, NAME, run};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use row::row;

/// The store itself, when this program was started with `serve` and its flags.
pub fn serve() -> Option<anyhow::Result<()>> {
    if std::env::args().nth(1).as_deref() != Some("serve") {
        return None;
    }
    use clap::Parser as _;
    let args = Args::parse_from(std::env::args().skip(1));
    let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
    let ended = ovomesh_bootstrap::main(NAME, &server, &telemetry, || Config::try_from(args), run);
    Some(ended.map_err(Into::into))
}

/// Rows through the store at `url`, at most `in_flight` on their way; how long each took. `rate` 0: as fast as they are
/// taken; `burst` rows are sent together. Their numbers begin after `first`.
pub async fn load(
    url: &str,
    (rate, burst, in_flight): (u64, u64, usize),
    time: Duration,
    first: u64,
) -> Vec<Duration> {
    let lifecycle = Lifecycle::new();
    let uri = url.parse().unwrap();
    let pool = StreamPool::<Append>::start(
        PoolConfig { max_queued_messages: 2 * in_flight, ..PoolConfig::default() },
        Connector::default(),
        discover::fixed([uri]),
        &lifecycle,
    );
    let (mut sent, mut times, mut tasks) = (0u64, Vec::new(), JoinSet::new());
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Some(micros) = (sent / burst * burst * 1_000_000).checked_div(rate) {
            tokio::time::sleep_until(begun + Duration::from_micros(micros)).await;
        }
        while tasks.len() >= in_flight || (rate > 0 && !tasks.is_empty()) {
            let done = if tasks.len() >= in_flight { tasks.join_next().await } else { tasks.try_join_next() };
            let Some(done) = done else { break };
            times.push(done.unwrap());
        }
        sent += 1;
        let (pool, row) = (pool.clone(), row(first + sent));
        tasks.spawn(async move {
            let begun = Instant::now();
            let request = Request { body: row, deadline: None, traceparent: String::new() };
            pool.call(request).await.unwrap();
            begun.elapsed()
        });
    }
    times.extend(tasks.join_all().await);
    times
}
