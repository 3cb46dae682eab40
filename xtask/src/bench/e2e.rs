//! The mesh against its promises: the highest rate that it holds, latency at half of it, what each service costs, and
//! what a frozen or a killed process does.
//!
//! Everything runs on this machine, the load generator included, so the figures are ratios to its two or so cores.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ovomesh_testkit::{Fleet, Programs, Shape, Usage};
use serde::Serialize;

use crate::build;
use crate::load::{Load, simulate};
use crate::report::{self, Report};

/// How to measure the whole mesh.
#[derive(clap::Args)]
pub struct Args {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How long the highest rate must be held
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    hold: u64,
    /// Sizes to measure, the headline first
    #[arg(long, value_delimiter = ',', default_value = "64x64x16,64x64x64")]
    sizes: Vec<String>,
    /// Measure the programs of this folder instead of building them
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Leave out the frozen and the killed process
    #[arg(long)]
    rates_only: bool,
}

/// A rate is held when p99 stays below this and nothing is lost or late.
const P99_MS: f64 = 100.0;
/// How long a rate is tried while searching.
const PROBE_SECONDS: u64 = 6;
/// Rates differ by this factor while searching.
const STEP: f64 = 1.15;
/// Where the search begins, in bytes of scans a second: about 400 scans of 128 KiB.
const FIRST_BYTES: f64 = 50e6;

#[derive(Serialize)]
struct Figures {
    max_rate: f64,
    profiles: Vec<Profile>,
    cpu_ms_per_scan: BTreeMap<String, f64>,
    frozen: Option<Frozen>,
    killed: Option<Killed>,
}

/// What a mesh does with scans of one size.
#[derive(Serialize)]
pub struct Profile {
    size: String,
    /// The highest rate that was held.
    pub max_rate: f64,
    p99_ms_at_max: f64,
    half_rate: f64,
    p50_ms_at_half: f64,
    p99_ms_at_half: f64,
    cpu_ms_per_scan: BTreeMap<String, f64>,
}

#[derive(Serialize)]
struct Frozen {
    rate: f64,
    gateway_budget_mib: u64,
    gateway_peak_mib: u64,
    sent: u64,
    answered: u64,
    expired: u64,
    lost: u64,
}

#[derive(Serialize)]
struct Killed {
    rate: f64,
    lost: u64,
    p99_ms_of_that_second: f64,
    worst_ms: f64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let programs = build::release_or(args.programs.as_deref())?;
    let mut profiles = Vec::new();
    for size in &args.sizes {
        profiles.push(profile(&programs, &Shape::default(), size, args.hold)?);
    }
    let headline = profiles.first().map_or(0.0, |p| p.max_rate);
    let cpu_ms_per_scan = profiles.first().map(|p| p.cpu_ms_per_scan.clone()).unwrap_or_default();
    let (frozen, killed) = if args.rates_only {
        (None, None)
    } else {
        (Some(frozen(&programs)?), Some(killed(&programs, headline / 2.0)?))
    };
    let figures = Figures { max_rate: headline, profiles, cpu_ms_per_scan, frozen, killed };
    figures.print();
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

/// Finds the highest rate that a mesh of this shape holds, and measures at half of it.
pub fn profile(programs: &Programs, shape: &Shape, size: &str, hold: u64) -> anyhow::Result<Profile> {
    let voxels: f64 = size.split('x').filter_map(|n| n.parse::<f64>().ok()).product();
    let mut rate = (FIRST_BYTES / (2.0 * voxels)).round().max(1.0);
    let mut best = None;
    while holds(&at_rate(programs, shape, size, rate, PROBE_SECONDS)?.report) {
        best = Some(rate);
        rate = (rate * STEP).round();
    }
    // The search found what holds for a few seconds; what counts is what holds for long.
    let mut max_rate = best.unwrap_or(rate / STEP);
    let held = loop {
        let report = at_rate(programs, shape, size, max_rate, hold)?.report;
        if holds(&report) || max_rate < 1.0 {
            break report;
        }
        max_rate = (max_rate / STEP.sqrt()).round();
    };
    let half_rate = (max_rate / 2.0).round();
    let AtRate { report: half, cpu_ms_per_scan, .. } =
        at_rate(programs, shape, size, half_rate, hold.min(15))?;
    Ok(Profile {
        size: size.to_owned(),
        max_rate,
        p99_ms_at_max: held.p99_ms,
        half_rate,
        p50_ms_at_half: half.p50_ms,
        p99_ms_at_half: half.p99_ms,
        cpu_ms_per_scan,
    })
}

fn holds(report: &Report) -> bool {
    report.nothing_lost() && report.expired == 0 && report.rejected == 0 && report.p99_ms <= P99_MS
}

/// What a fleet did at one rate.
pub struct AtRate {
    /// What the scanners saw.
    pub report: Report,
    /// CPU that each service took for a scan.
    pub cpu_ms_per_scan: BTreeMap<String, f64>,
    /// Most memory that each process held, in MiB.
    pub peak_mib: BTreeMap<String, u64>,
}

/// A fresh fleet at one rate.
pub fn at_rate(
    programs: &Programs,
    shape: &Shape,
    size: &str,
    rate: f64,
    seconds: u64,
) -> anyhow::Result<AtRate> {
    let mut fleet = Fleet::start(programs, shape.clone().in_a_new_folder())?;
    let before = usage(&fleet);
    let report = simulate(programs, &mut fleet, &load(size, rate, seconds), |_, _| Ok(()))?;
    let (mut cpu, mut peak_mib) = (BTreeMap::<String, f64>::new(), BTreeMap::new());
    for (name, after) in usage(&fleet) {
        peak_mib.insert(name.clone(), after.peak >> 20);
        let used = after.cpu.saturating_sub(before.get(&name).copied().unwrap_or_default().cpu);
        let service = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        *cpu.entry(service.to_owned()).or_default() += used.as_secs_f64() * 1e3 / report.sent.max(1) as f64;
    }
    println!(
        "  {size} at {rate}/s for {seconds} s: p50 {:.1} ms, p99 {:.1} ms, {} lost, {} expired",
        report.p50_ms, report.p99_ms, report.lost, report.expired
    );
    fleet.stop()?;
    Ok(AtRate { report, cpu_ms_per_scan: cpu, peak_mib })
}

/// The only preprocess stands still for 10 s under 1,000 scans a second.
fn frozen(programs: &Programs) -> anyhow::Result<Frozen> {
    let (rate, begin, end) = (1_000.0, 5, 15);
    let budget = 512;
    let mut fleet = Fleet::start(programs, Shape { gateway_memory_mib: budget, ..Shape::default() })?;
    let report = simulate(programs, &mut fleet, &load("64x64x16", rate, 25), |second, fleet| match second {
        s if s == begin => fleet.get("preprocess-1")?.freeze(),
        s if s == end => fleet.get("preprocess-1")?.thaw(),
        _ => Ok(()),
    })?;
    let peak = fleet.get("scanner-gateway")?.usage().peak;
    fleet.stop()?;
    Ok(Frozen {
        rate,
        gateway_budget_mib: budget,
        gateway_peak_mib: peak >> 20,
        sent: report.sent,
        answered: report.verdicts + report.rejected,
        expired: report.expired,
        lost: report.lost,
    })
}

/// One of two inference processes dies.
fn killed(programs: &Programs, rate: f64) -> anyhow::Result<Killed> {
    let at = 5;
    let mut fleet = Fleet::start(programs, Shape::default())?;
    let report = simulate(programs, &mut fleet, &load("64x64x16", rate, 12), |second, fleet| {
        if second == at { fleet.get_mut("inference-1")?.kill() } else { Ok(()) }
    })?;
    let (worst_ms, p99) = report.worst(at..=at + 1);
    Ok(Killed { rate, lost: report.lost, p99_ms_of_that_second: p99, worst_ms })
}

fn load(size: &str, rate: f64, seconds: u64) -> Load {
    Load { rate, seconds, size: size.into(), ..Load::default() }
}

fn usage(fleet: &Fleet) -> BTreeMap<String, Usage> {
    fleet.processes().map(|(name, process)| (name.to_owned(), process.usage())).collect()
}

impl Profile {
    /// For people.
    pub fn print(&self) {
        let half = format!(
            "{:.0}/s: p50 {:.1} ms, p99 {:.1} ms",
            self.half_rate, self.p50_ms_at_half, self.p99_ms_at_half
        );
        let rate = format!("{:.0}/s held with p99 {:.1} ms", self.max_rate, self.p99_ms_at_max);
        let mut lines = vec![("rate", rate), ("half", half)];
        for (service, ms) in &self.cpu_ms_per_scan {
            lines.push(("cpu", format!("{service:<18} {ms:.3} ms a scan")));
        }
        report::print(&self.size, &lines);
    }
}

impl Figures {
    fn print(&self) {
        self.profiles.iter().for_each(Profile::print);
        if let Some(f) = &self.frozen {
            let text = format!(
                "{:.0}/s: gateway peak {} of {} MiB, {} of {} answered ({} expired), {} lost",
                f.rate, f.gateway_peak_mib, f.gateway_budget_mib, f.answered, f.sent, f.expired, f.lost
            );
            report::print("preprocess frozen for 10 s", &[("", text)]);
        }
        if let Some(k) = &self.killed {
            let text = format!(
                "{:.0}/s: {} lost, p99 of that second {:.0} ms, worst {:.0} ms",
                k.rate, k.lost, k.p99_ms_of_that_second, k.worst_ms
            );
            report::print("inference killed", &[("", text)]);
        }
    }
}
