//! Rows as the gateway makes them, and one gateway's stream of them.

use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::{
    Call, Place, Point, Preview, Provenance, Purpose, Quality, Row, Scores, Timings, Verdict,
};
use ovomesh_api::stages::Append;
use ovomesh_api::time::to_pb;
use ovomesh_mesh::{Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use ovomesh_results_store::{Args, NAME, run};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The store itself, when this program was started with `serve` and its flags.
pub fn serve() -> Option<anyhow::Result<()>> {
    if std::env::args().nth(1).as_deref() != Some("serve") {
        return None;
    }
    use clap::Parser as _;
    let args = Args::parse_from(std::env::args().skip(1));
    let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
    Some(ovomesh_bootstrap::main(NAME, &server, &telemetry, |listener, life| run(args, listener, life)))
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

/// A row as the gateway makes them.
pub fn row(n: u64) -> Row {
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
            model: "egg-pose/0.3.0".into(),
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
