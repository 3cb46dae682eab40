//! What results-store costs on Cassandra: rows a second through it, beside a bare loop over the driver that executes the
//! same statements, on the same node, in turns.
//!
//! `cargo xtask bench store [--seconds S] [--rounds N] [--json FILE]` starts one real Cassandra node and prints both rates
//! and their ratio. A row costs a share of a batch for its line, an insert for its egg, and one for its scan.

#![allow(clippy::unwrap_used, reason = "an example")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser as _;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use ovomesh_results_store::{NAME, Record};
use ovomesh_testkit::{Cassandra, Cluster, Process};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows of a gateway on their way at once: the store's credit for one.
const IN_FLIGHT: usize = 2_048;
/// Statements of the bare loop on their way at once: as many as the store has.
const STATEMENTS: usize = 256;
/// Rows of one line in a batch of the bare loop: about what fits into the store's.
const BATCH: u64 = 64;

#[derive(clap::Parser)]
struct Args {
    /// Seconds of each turn
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Turns of each
    #[arg(long, default_value_t = 7)]
    rounds: u64,
    /// Where the figures go too
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    if let Some(served) = support::serve() {
        return served;
    }
    let args = Args::parse();
    let time = Duration::from_secs(args.seconds);
    let cluster = Cluster { fast: true, heap_mib: 1_024, ..Cluster::default() };
    let cassandra = Cassandra::start_with(cluster, Cassandra::reserve()?)?;
    let folder = tempfile::tempdir()?;
    let store = serve(folder.path(), &cassandra.contact_points())?;
    let runtime = ovomesh_bootstrap::runtime(1)?;
    let bare = runtime.block_on(Bare::connect(&cassandra.contact_points()))?;
    let (mut through, mut direct, mut first) = (Vec::new(), Vec::new(), 0);
    // The first turn of each is for Java to compile what is hot.
    for round in 0..=args.rounds {
        let begun = Instant::now();
        let rows = runtime.block_on(bare.load(time, first));
        let bare_rate = rows as f64 / begun.elapsed().as_secs_f64();
        first += rows + 8 * BATCH;
        let (begun, before) = (Instant::now(), store.usage().cpu);
        let rows = runtime.block_on(support::load(&store.url(), (0, 1, IN_FLIGHT), time, first)).len() as u64;
        let rate = rows as f64 / begun.elapsed().as_secs_f64();
        let cpu = (store.usage().cpu - before).as_secs_f64() * 1e6 / rows as f64;
        first += rows;
        let warming = if round == 0 { " (warming up)" } else { "" };
        println!(
            "bare {bare_rate:.0} rows/s, through results-store {rate:.0} rows/s at {cpu:.0} us CPU a row{warming}"
        );
        if round > 0 {
            through.push(rate);
            direct.push(bare_rate);
        }
    }
    // Of turns beside each other: the node speeds up and slows down over minutes.
    let ratio = median(through.iter().zip(&direct).map(|(through, direct)| through / direct).collect());
    let (through, direct) = (median(through), median(direct));
    let peak = store.usage().peak >> 20;
    println!(
        "median: bare {direct:.0}, through {through:.0} rows/s, ratio {ratio:.2}; results-store took {peak} MiB"
    );
    if let Some(file) = args.json {
        let figures = format!(
            "{{\"bare_rows_per_s\": {direct:.0}, \"through_rows_per_s\": {through:.0}, \"ratio\": {ratio:.3}, \"peak_mib\": {peak}}}\n"
        );
        std::fs::write(file, figures)?;
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

fn serve(folder: &Path, nodes: &str) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--cql", nodes, "--cql-replication", "1"]);
    let mut process = Process::start(NAME, command, folder)?;
    process.ready()?;
    Ok(process)
}

/// The driver, and the statements that the store has.
struct Bare {
    session: Session,
    line: PreparedStatement,
    egg: PreparedStatement,
    egg_hour: PreparedStatement,
    scan: PreparedStatement,
}

/// One statement of the loop.
enum Statement {
    Line(Vec<Record>),
    Egg(Record),
    EggHour(Record),
    Scan(Record),
}

impl Bare {
    async fn connect(nodes: &str) -> anyhow::Result<Self> {
        let session = SessionBuilder::new().known_nodes(nodes.split(',')).build().await?;
        let prepare = |text: &'static str| session.prepare(text);
        Ok(Self {
            line: prepare(
                "INSERT INTO ovomesh.scans_by_line (site, line, hour, acquired_at, nanos, scan_id, egg_id, tray_run, \
                 slot, call, p_female, row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            egg: prepare(
                "INSERT INTO ovomesh.scans_by_egg_and_hour (egg_id, site, hour, acquired_at, nanos, scan_id, row) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            egg_hour: prepare("INSERT INTO ovomesh.hours_by_egg (egg_id, site, hour) VALUES (?, ?, ?)").await?,
            scan: prepare(
                "INSERT INTO ovomesh.scans_by_id_and_site (scan_id, site, line, hour, acquired_at, nanos, egg_id, preview) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            session,
        })
    }

    /// Rows stored in this time.
    async fn load(&self, time: Duration, first: u64) -> u64 {
        let (begun, mut rows, mut under_way) = (Instant::now(), 0, FuturesUnordered::new());
        let first = first.next_multiple_of(8 * BATCH);
        while begun.elapsed() < time {
            // Row n is of line n % 8: these are of one line.
            let numbers = (0..BATCH)
                .map(|n| first + rows + n)
                .map(|n| (n / BATCH % 8) + (n % BATCH) * 8 + n / 512 * 512);
            let records: Vec<_> =
                numbers.map(|n| Record::parse(support::row(n), Timestamp::now()).unwrap()).collect();
            rows += BATCH;
            let statements = records
                .iter()
                .cloned()
                .flat_map(|r| [Statement::Egg(r.clone()), Statement::EggHour(r.clone()), Statement::Scan(r)]);
            for statement in std::iter::once(Statement::Line(records.clone())).chain(statements) {
                under_way.push(self.execute(statement));
                if under_way.len() >= STATEMENTS {
                    under_way.next().await;
                }
            }
        }
        while under_way.next().await.is_some() {}
        rows
    }

    async fn execute(&self, statement: Statement) {
        match statement {
            Statement::Line(records) => {
                let mut batch = Batch::new(BatchType::Unlogged);
                records.iter().for_each(|_| batch.append_statement(self.line.clone()));
                let values: Vec<_> = records.iter().map(line).collect();
                self.session.batch(&batch, values).await.map(drop)
            }
            Statement::Egg(record) => {
                let (at, nanos, hour) = when(&record);
                let egg_id = record.row.meta.egg_id.as_ref().unwrap().as_str();
                let site = record.row.meta.place.site().as_str();
                let scan_id = record.row.meta.scan_id.as_str();
                let values = (egg_id, site, hour, at, nanos, scan_id, &*record.encoded);
                self.session.execute_unpaged(&self.egg, values).await.map(drop)
            }
            Statement::EggHour(record) => {
                let (.., hour) = when(&record);
                let egg_id = record.row.meta.egg_id.as_ref().unwrap().as_str();
                let values = (egg_id, record.row.meta.place.site().as_str(), hour);
                self.session.execute_unpaged(&self.egg_hour, values).await.map(drop)
            }
            Statement::Scan(record) => {
                let ((at, nanos, hour), place) = (when(&record), &record.row.meta.place);
                let (site, line) = (place.site().as_str(), place.line().as_str());
                let egg_id = record.row.meta.egg_id.as_ref().unwrap().as_str();
                let preview = record.preview.as_deref();
                let values = (record.row.meta.scan_id.as_str(), site, line, hour, at, nanos, egg_id, preview);
                self.session.execute_unpaged(&self.scan, values).await.map(drop)
            }
        }
        .unwrap();
    }
}

type Line<'a> = (
    &'a str,
    &'a str,
    CqlTimestamp,
    CqlTimestamp,
    i32,
    &'a str,
    &'a str,
    &'a str,
    i32,
    &'a str,
    Option<f32>,
    &'a [u8],
);

fn line(record: &Record) -> Line<'_> {
    let ((at, nanos, hour), place) = (when(record), &record.row.meta.place);
    (
        place.site().as_str(),
        place.line().as_str(),
        hour,
        at,
        nanos,
        record.row.meta.scan_id.as_str(),
        record.row.meta.egg_id.as_ref().unwrap().as_str(),
        place.tray_run.as_str(),
        place.slot.cast_signed(),
        "FEMALE",
        record.row.verdict.p_female,
        &record.encoded,
    )
}

fn when(record: &Record) -> (CqlTimestamp, i32, CqlTimestamp) {
    let millis = record.row.meta.acquired_at.as_millisecond();
    let nanos = record.row.meta.acquired_at.subsec_nanosecond() % 1_000_000;
    (CqlTimestamp(millis), nanos, CqlTimestamp(millis / 3_600_000 * 3_600_000))
}
