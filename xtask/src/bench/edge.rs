//! The agent in the path: what it adds to a verdict, what it costs, and the highest rate with its spool on this disk.

use std::path::PathBuf;

use ovomesh_testkit::Shape;
use serde::Serialize;

use super::e2e::{self, AtRate, Profile};
use crate::{build, report};

/// How to measure the edge.
#[derive(clap::Args)]
pub struct Args {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How long each rate is held
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    hold: u64,
}

/// Twenty-nine of the fastest lines at one agent.
const STEADY: f64 = 200.0;
const SIZE: &str = "64x64x16";
const AGENT: &str = "scanner-agent-1";

#[derive(Serialize)]
struct Figures {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    p50_ms_without_agent: f64,
    agent_cpu_ms_per_scan: f64,
    agent_peak_mib: u64,
    lost: u64,
    most: Profile,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let programs = build::release()?;
    let with = Shape { agents: 1, ..Shape::default() };
    let without = e2e::at_rate(&programs, &Shape::default(), SIZE, STEADY, args.hold)?;
    let AtRate { report, cpu_ms_per_scan, peak_mib } =
        e2e::at_rate(&programs, &with, SIZE, STEADY, args.hold)?;
    let figures = Figures {
        rate: STEADY,
        p50_ms: report.p50_ms,
        p99_ms: report.p99_ms,
        p50_ms_without_agent: without.report.p50_ms,
        agent_cpu_ms_per_scan: cpu_ms_per_scan.get("scanner-agent").copied().unwrap_or_default(),
        agent_peak_mib: peak_mib.get(AGENT).copied().unwrap_or_default(),
        lost: report.lost,
        most: e2e::profile(&programs, &with, SIZE, args.hold)?,
    };
    let lines = [
        ("verdict", format!("p50 {:.1} ms, p99 {:.1} ms", figures.p50_ms, figures.p99_ms)),
        ("without", format!("p50 {:.1} ms when scanners speak to the gateway", figures.p50_ms_without_agent)),
        ("agent", format!("{:.3} ms CPU a scan", figures.agent_cpu_ms_per_scan)),
        ("memory", format!("{} MiB at most", figures.agent_peak_mib)),
        ("lost", figures.lost.to_string()),
    ];
    report::print(&format!("through an agent at {STEADY}/s"), &lines);
    figures.most.print();
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}
