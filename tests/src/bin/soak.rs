//! Memory of every service under long mixed loads, at one moment and nine times as many scans later.
#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;
use ovomesh_testkit::Fleet;
use ovomesh_tests::programs;
use ovomesh_tests::soak::{Kind, idle_watchers, resident, shape, until_idle};

/// Measures the memory of every service after N x 1,000 mixed scans and after N x 10,000: decided, repeated, refused and
/// broken ones, beside watchers that read nothing and an inference process that is killed and started.
#[derive(Parser)]
struct Args {
    /// Thousands of scans before the first measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    thousands: u32,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Scans between two kills.
const ROUND: usize = 1_000;
/// Watchers that read nothing.
const WATCHERS: usize = 20;
/// The process that is killed; the others are measured.
const KILLED: &str = "inference-1";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // What an agent keeps on disk is another matter.
    let mut fleet = Fleet::start(&programs(), shape()?)?;
    let (first, all) = (args.thousands, 10 * args.thousands);
    let mut before = BTreeMap::new();
    for thousand in 1..=all {
        round(&mut fleet, thousand).await?;
        if thousand == first {
            before = resident(&fleet);
        }
        if thousand % first == 0 {
            println!("{thousand},000 of {all},000 scans");
        }
    }
    let after = resident(&fleet);
    let folder = fleet.folder().to_owned();
    fleet.stop()?;
    std::fs::remove_dir_all(folder)?;
    print(&args, &before, &after)
}

/// A thousand scans: 6 tenths decided, 2 broken, 1 refused, 1 repeated.
async fn round(fleet: &mut Fleet, number: u32) -> anyhow::Result<()> {
    let watchers = idle_watchers(fleet, WATCHERS).await?;
    for (kind, tenths) in [(Kind::Decided, 6), (Kind::Broken, 2), (Kind::Refused, 1), (Kind::Repeated, 1)] {
        kind.send(fleet, &format!("{number}-{kind:?}"), ROUND * tenths / 10).await?;
    }
    fleet.get_mut(KILLED)?.kill()?;
    fleet.restart(KILLED)?;
    drop(watchers);
    until_idle(fleet).await
}

fn print(args: &Args, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> anyhow::Result<()> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let between = f64::from(9 * args.thousands);
    let columns = [args.thousands, 10 * args.thousands].map(|thousands| format!("MiB after {thousands},000"));
    println!("\n{:<18} {:>18} {:>18} {:>16}", "service", columns[0], columns[1], "KiB per 1,000");
    let mut figures = serde_json::Map::new();
    for (name, before) in before.iter().filter(|(name, _)| *name != KILLED) {
        let (before, after) = (mib(*before), mib(after.get(name).copied().unwrap_or_default()));
        let growth = (after - before) * 1_024.0 / between;
        println!("{name:<18} {before:>18.1} {after:>18.1} {growth:>16.1}");
        let figure = serde_json::json!({ "mib": [before, after], "kib_per_thousand_scans": growth });
        figures.insert(name.clone(), figure);
    }
    if let Some(file) = &args.json {
        let thousands = [args.thousands, 10 * args.thousands];
        let all = serde_json::json!({ "thousands_of_scans": thousands, "services": figures });
        std::fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}
