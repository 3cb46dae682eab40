//! `cargo xtask chaos`: kills everything under a steady load, and counts what is lost.
//!
//! The way of a run: [`load`] keeps [`scanner`]s and [`gate`]s busy, which write into the [`book`] what they are told;
//! [`faults`] strikes; [`stored`] reads the database past all services; [`audit`] holds one against the other.

mod audit;
mod book;
mod eggs;
mod faults;
mod gate;
mod load;
mod scanner;
mod stored;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use ovomesh_testkit::{Cluster, Fleet, Programs, Shape, SmallDisk};
use rand::SeedableRng as _;
use serde_json::json;

use crate::audit::Outcome;
use crate::eggs::Eggs;
use crate::faults::{Fault, World};
use crate::load::Load;
use crate::stored::Reader;

/// Room of a spool that is to be filled.
const DISK_MIB: u64 = 256;
/// Eggs before the first fault and after the last: what is usual must be seen, too.
const CALM: Duration = Duration::from_secs(2);
/// All rows are stored this long after the last egg, or they are lost.
const SETTLED: Duration = Duration::from_secs(180);

/// Kills everything under a steady load, and counts what is lost
#[derive(Parser)]
#[command(
    name = "cargo xtask chaos",
    version,
    after_help = "\
Examples:
  cargo xtask chaos                              the short form: some 20 kills, outages of seconds
  cargo xtask chaos --long --json faults.json    50 kills, outages of a minute, three nodes of Cassandra
  cargo xtask chaos --only 'kill each' --seed 7  one fault, at other moments

Every fault runs on a mesh of real processes: 2 agents, 2 gateways, 2 preprocess, 2 inference, 2 results-store, a real
Cassandra. It is good when every scan that an agent accepted is in every table of the database exactly once, as it was told to
scanner and sorter. Else the program fails."
)]
struct Args {
    /// Write the outcomes as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// As long as promised: 50 kills, outages of 60 s, and a database of three nodes
    #[arg(long)]
    long: bool,
    /// Only faults whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Scans a second, over both agents
    #[arg(long, default_value_t = 200.0, value_parser = |text: &str| match text.parse::<f64>() {
        Ok(rate) if (1.0..=2_000.0).contains(&rate) => Ok(rate),
        _ => Err("it must be 1 to 2,000"),
    })]
    rate: f64,
    /// Decides when things are killed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let only = |fault: &Fault| args.only.as_ref().is_none_or(|only| fault.name().contains(only.as_str()));
    let faults: Vec<Fault> = Fault::all(args.long).into_iter().filter(only).collect();
    anyhow::ensure!(!faults.is_empty(), "no fault has such a name; without --only all are run");
    let mut outcomes = Vec::new();
    let ran = run_all(&args, &faults, &mut outcomes).await;
    // What is known is told, also when something went wrong in the middle.
    println!("{}", table(&outcomes));
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&json!({ "faults": outcomes }))?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    ran?;
    Ok(if outcomes.iter().all(Outcome::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_all(args: &Args, faults: &[Fault], outcomes: &mut Vec<Outcome>) -> anyhow::Result<()> {
    let eggs = Eggs::new();
    for nodes in [1, 3] {
        let faults: Vec<Fault> = faults.iter().copied().filter(|fault| fault.nodes() == nodes).collect();
        if faults.is_empty() {
            continue;
        }
        eprintln!("starting a mesh on {nodes} node(s) of Cassandra ...");
        let mut world = tokio::task::block_in_place(|| world(args.seed, nodes))?;
        for fault in faults {
            if fault.needs_disk() && world.disk.is_none() {
                eprintln!("{}: left out, no small disk can be mounted here", fault.name());
                continue;
            }
            eprintln!("{} ...", fault.name());
            let outcome = run(args, &mut world, fault, &eggs, outcomes.len()).await;
            outcomes.push(outcome.with_context(|| format!("under the fault `{}`", fault.name()))?);
        }
    }
    Ok(())
}

fn world(seed: u64, nodes: usize) -> anyhow::Result<World> {
    let shape = Shape {
        agents: 2,
        gateways: 2,
        preprocess: 2,
        inference: 2,
        stores: 2,
        cassandra: Some(Cluster { nodes, ..Cluster::default() }),
        ..Shape::default()
    };
    let disk = match SmallDisk::mount(&shape.folder.join("scanner-agent-1"), DISK_MIB) {
        Ok(disk) => Some(disk),
        Err(error) => {
            eprintln!("{error:#}: without a full disk, then");
            None
        }
    };
    let fleet = Fleet::start(&Programs::beside_this_one()?, shape)?;
    Ok(World { fleet, disk, rng: rand_chacha::ChaCha8Rng::seed_from_u64(seed) })
}

async fn run(
    args: &Args,
    world: &mut World,
    fault: Fault,
    eggs: &Eggs,
    number: usize,
) -> anyhow::Result<Outcome> {
    let agents = ["scanner-agent-1", "scanner-agent-2"];
    let agents =
        agents.iter().map(|name| Ok(world.fleet.get(name)?.url())).collect::<anyhow::Result<Vec<_>>>()?;
    let prefix = format!("f{number}-");
    let mut load = Load::start(&agents, args.rate, prefix.trim_end_matches('-'), eggs);
    tokio::time::sleep(CALM).await;
    let recoveries = world.strike(fault, &load).await?;
    tokio::time::sleep(CALM).await;
    load.stop().await;
    let reader = Reader::open(&world.fleet.cassandra()?.contact_points()).await?;
    let settling = Instant::now();
    let mut stored = reader.all(&prefix).await?;
    while !audit::all_stored(&load.book.scans(), &stored) && settling.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stored = reader.all(&prefix).await?;
    }
    let mut outcome = audit::audit(fault.name(), &load.book.scans(), &stored, recoveries);
    outcome.held = load.held_most();
    for (name, process) in world.fleet.processes() {
        outcome.memory_mib = outcome.memory_mib.max((process.usage().peak >> 20, name.to_owned()));
    }
    Ok(outcome)
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "fault",
        "kills",
        "accepted",
        "stored",
        "lost",
        "duplicated",
        "changed",
        "recovery",
        "median",
        "verdict p50",
        "worst",
        "timed out",
        "refused",
        "held",
        "memory",
    ]);
    for o in outcomes {
        let ms = |ms: u64| format!("{ms} ms");
        table.add_row([
            o.name.clone(),
            o.kills.to_string(),
            o.accepted.to_string(),
            o.stored.to_string(),
            o.lost.to_string(),
            o.duplicated.to_string(),
            o.changed.to_string(),
            ms(o.recovery_ms),
            ms(o.recovery_median_ms),
            ms(o.verdict_ms.0),
            ms(o.verdict_ms.1),
            o.timed_out.to_string(),
            o.refused.to_string(),
            o.held.to_string(),
            format!("{} MiB {}", o.memory_mib.0, o.memory_mib.1),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    table.to_string()
}
