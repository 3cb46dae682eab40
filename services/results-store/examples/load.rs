//! What storing a row costs: one gateway's stream at a fixed rate into a process of its own.
//!
//! `cargo run --release -p ovomesh-results-store --example load [-- RATE [SECONDS [BURST [DIR]]]]`
//! prints rows/s, CPU microseconds a row of the store's whole process, how long a row took to become durable, and how
//! long the store takes to be ready again after a kill -9.
//! RATE 0 sends as fast as rows are taken. BURST rows are sent together, as verdicts come from a batch of inference (1:
//! the worst case, each row wakes the store by itself). DIR decides which disk is measured.

#![allow(clippy::unwrap_used, reason = "an example")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser as _;
use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{
    Call, Place, Point, Preview, Provenance, Purpose, Quality, Row, Scores, Timings, Verdict,
};
use ovomesh_api::stages::Append;
use ovomesh_api::time::to_pb;
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_results_store::{Args, NAME, run};
use ovomesh_testkit::{Process, Usage};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows on their way at once: what a gateway's pool queues at most.
const IN_FLIGHT: usize = 1_024;

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let args = Args::parse_from(std::env::args().skip(1));
        let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
        return ovomesh_bootstrap::main(NAME, &server, &telemetry, |listener, life| {
            run(args, listener, life)
        });
    }
    let mut args = std::env::args().skip(1);
    let mut number = |default| args.next().map_or(default, |text| text.parse::<u64>().expect("a number"));
    let (rate, seconds, burst) = (number(1_000), number(20), number(8));
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let mut server = serve(folder.path())?;
    let before = server.usage();
    let begun = Instant::now();
    let times = ovomesh_bootstrap::runtime(1)?.block_on(load(
        &server.url(),
        rate,
        burst,
        Duration::from_secs(seconds),
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

/// How long each row took.
async fn load(url: &str, rate: u64, burst: u64, time: Duration) -> Vec<Duration> {
    let lifecycle = Lifecycle::new();
    let uri = url.parse().unwrap();
    let pool = StreamPool::<Append>::start(
        PoolConfig::default(),
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
        while tasks.len() >= IN_FLIGHT || (rate > 0 && !tasks.is_empty()) {
            let done = if tasks.len() >= IN_FLIGHT { tasks.join_next().await } else { tasks.try_join_next() };
            let Some(done) = done else { break };
            times.push(done.unwrap());
        }
        sent += 1;
        let (pool, row) = (pool.clone(), row(sent));
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

/// A row as the gateway makes them.
fn row(n: u64) -> Row {
    let scan_id = format!("018f3c2e-7b1a-7cc0-{:04x}-{n:012x}", n.wrapping_mul(0x9e37) & 0xffff);
    let now = to_pb(Timestamp::now());
    let verdict = Verdict {
        scan_id: scan_id.clone(),
        call: Call::Female.into(),
        p_female: Some(0.97),
        scores: Some(Scores {
            female: 0.95,
            male: 0.03,
            infertile: 0.01,
            dead: 0.01,
            strangeness: 0.4,
            gonads: Some(Point { x_mm: 30.0, y_mm: 31.0, z_mm: 12.0 }),
        }),
        quality: Some(Quality { snr: 21.0, motion: 1.0, coverage: 1.0, clipped: 0.0, egg_ml: 56.0 }),
        provenance: Some(Provenance {
            model: "egg-pose/0.2.0".into(),
            model_sha256: "0123456789abcdef".into(),
            preprocess: "1".into(),
            device: "cpu".into(),
            cpu_capability: "AVX512".into(),
            batch: 8,
            policy: "default/1".into(),
        }),
        timings: Some(Timings {
            total_us: 6_000,
            preprocess_us: 400,
            inference_us: 900,
            ..Default::default()
        }),
        ..Default::default()
    };
    let place = Place {
        site: "north".into(),
        line: (n % 8).to_string(),
        tray_run: format!("run-{}", n / 150),
        slot: (n % 150) as u32 + 1,
    };
    Row {
        egg_id: format!("egg-{n}"),
        place: Some(place),
        purpose: Purpose::Test.into(),
        acquired_at: Some(now),
        received_at: Some(now),
        volume_crc32c: n as u32,
        verdict: Some(verdict),
        preview: Some(Preview {
            columns: 48,
            rows: 48,
            pixels: (0..1_152u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect::<Vec<_>>()
                .into(),
            ..Default::default()
        }),
        scan_id,
        ..Default::default()
    }
}
