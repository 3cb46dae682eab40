//! What storing a row costs: one gateway's stream at a fixed rate into a process of its own.
//!
//! `cargo run --release -p ovomesh-results-store --example load [-- RATE [SECONDS [BURST [DIR]]]]`
//! prints rows/s, CPU microseconds a row of the store's whole process, how long a row took to become durable, and how
//! long the store takes to be ready again after a kill -9.
//! RATE 0 sends as fast as rows are taken. BURST rows are sent together, as verdicts come from a batch of inference (1:
//! the worst case, each row wakes the store by itself). DIR decides which disk is measured.

#![allow(clippy::unwrap_used, reason = "an example")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ovomesh_results_store::NAME;
use ovomesh_testkit::{Process, Usage};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows on their way at once: what a gateway's pool queues at most.
const IN_FLIGHT: usize = 1_024;

fn main() -> anyhow::Result<()> {
    if let Some(served) = support::serve() {
        return served;
    }
    let mut args = std::env::args().skip(1);
    let mut number = |default| args.next().map_or(default, |text| text.parse::<u64>().expect("a number"));
    let (rate, seconds, burst) = (number(1_000), number(20), number(8));
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let mut server = serve(folder.path())?;
    let before = server.usage();
    let begun = Instant::now();
    let times = ovomesh_bootstrap::runtime(1)?.block_on(support::load(
        &server.url(),
        (rate, burst, IN_FLIGHT),
        Duration::from_secs(seconds),
        0,
    ));
    let (took, after) = (begun.elapsed(), server.usage());
    server.kill()?;
    let begun = Instant::now();
    let _again = serve(folder.path())?;
    report(&times, took, Usage { cpu: after.cpu - before.cpu, ..after }, begun.elapsed());
    Ok(())
}

fn report(times: &[Duration], took: Duration, usage: Usage, again: Duration) {
    let (rows, mut sorted) = (times.len(), times.to_vec());
    sorted.sort_unstable();
    let part = |share: usize| sorted[(rows * share / 1_000).min(rows - 1)].as_secs_f64() * 1e3;
    println!(
        "{rows} rows, {:.0} rows/s, CPU {:.1} us a row, {} MiB, durable after {:.1} ms p50, {:.1} ms p99, {:.1} ms p99.9, \
         ready {:.2} s after kill -9",
        rows as f64 / took.as_secs_f64(),
        usage.cpu.as_secs_f64() * 1e6 / rows as f64,
        usage.peak >> 20,
        part(500),
        part(990),
        part(999),
        again.as_secs_f64(),
    );
}

fn serve(folder: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg("--data").arg(folder.join("data"));
    let mut process = Process::start(NAME, command, folder)?;
    process.ready()?;
    Ok(process)
}
