//! The demo: from nothing to verdicts, with a process killed on the way.

use std::path::PathBuf;

use ovomesh_testkit::{Fleet, Shape};

use crate::load::{Load, simulate};
use crate::report::Report;
use crate::{build, libtorch, machine};

#[derive(clap::Args)]
pub struct Args {
    /// Scans a second, over all scanners
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// How long to simulate
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(4..))]
    seconds: u64,
    /// How many scanners
    #[arg(long, default_value_t = 8)]
    scanners: u32,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave it running on the documented ports until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// The process that is killed at half time.
const VICTIM: &str = "inference-1";
/// Commands for a demo that was kept, on the documented ports. `tests/tests/documented` runs each of them.
const NEXT_STEPS: &str = include_str!("next_steps.txt");
const PORTS: [u16; 6] = [7700, 7701, 7702, 7710, 7720, 7721];

pub fn run(args: &Args) -> anyhow::Result<()> {
    machine::check(if args.keep { &PORTS } else { &[] })?;
    println!(
        "ovomesh demo, in four steps (the first two take about 10 minutes on two cores, but only once):"
    );
    println!(
        "  1. fetch libtorch (1 min)   2. build the services (9 min)   3. start them   4. scan eggs ({} s)",
        args.seconds
    );
    libtorch::provide()?;
    let programs = build::release()?;
    let mut fleet = Fleet::start(&programs, Shape { fixed_ports: args.keep, ..Shape::default() })?;
    println!("\nrunning as separate processes on loopback (logs in {}):", fleet.folder().display());
    for (name, process) in fleet.processes() {
        println!("  {name:<18} {:<22} pid {}", process.address(), process.pid());
    }
    println!("\n{} scanners send {} scans a second for {} s:\n", args.scanners, args.rate, args.seconds);
    let load = Load {
        rate: args.rate,
        seconds: args.seconds,
        scanners: args.scanners,
        show: true,
        ..Load::default()
    };
    let half = args.seconds / 2;
    let mut killed_at = None;
    let result = simulate(&programs, &mut fleet, &load, |second, fleet| {
        if second >= half && killed_at.is_none() {
            killed_at = Some(second);
            fleet.get_mut(VICTIM)?.kill()?;
            println!("  -- killed {VICTIM} with -9 --");
        }
        Ok(())
    })?;
    if let Some(at) = killed_at {
        println!("\nkilled     {}", tell_killed(&result, at));
    }
    if let Some(file) = &args.json {
        std::fs::write(file, json(&result, killed_at)?)?;
    }
    fleet.restart(VICTIM)?;
    next_steps(args.keep);
    if args.keep {
        println!("\nrunning until you press Enter");
        std::io::stdin().read_line(&mut String::new())?;
    }
    fleet.stop()?;
    anyhow::ensure!(
        result.nothing_lost(),
        "not every scan was answered once and stored: see the report above"
    );
    Ok(())
}

fn tell_killed(report: &Report, at: u64) -> String {
    let (worst, _) = report.worst(at..=at + 2);
    format!("{VICTIM} at {at} s: {} lost, worst verdict {worst:.0} ms", report.lost)
}

fn json(report: &Report, killed_at: Option<u64>) -> anyhow::Result<String> {
    let (worst, p99) = killed_at.map_or((0.0, 0.0), |at| report.worst(at..=at + 2));
    let Report { sent, verdicts, rejected, committed, undecided, expired, lost, duplicated, .. } = report;
    Ok(serde_json::to_string_pretty(&serde_json::json!({
        "sent": sent, "verdicts": verdicts, "rejected": rejected, "committed": committed, "undecided": undecided,
        "expired": expired, "lost": lost, "duplicated": duplicated,
        "accuracy": report.accuracy, "accuracy_low": report.accuracy_low, "accuracy_high": report.accuracy_high,
        "distinct_eggs": report.distinct_eggs, "p50_ms": report.p50_ms, "p99_ms": report.p99_ms, "max_ms": report.max_ms,
        "killed_at_s": killed_at, "killed_worst_ms": worst, "killed_p99_ms": p99,
    }))?)
}

fn next_steps(keep: bool) {
    if keep {
        println!("\nTry next, in another terminal:");
        NEXT_STEPS.lines().for_each(|line| println!("  {line}"));
    } else {
        println!(
            "\nTry next: cargo xtask demo --keep, which leaves it running for the commands that it then names."
        );
    }
}
