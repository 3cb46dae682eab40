//! What the mesh does when more scans come than it can decide.

use std::path::PathBuf;

use ovomesh_testkit::Shape;
use serde::Serialize;

use super::e2e::{self, AtRate};
use crate::build;
use crate::report;

/// How to measure overload.
#[derive(clap::Args)]
pub struct Args {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How long each rate is offered
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    hold: u64,
    /// Scans a second that the mesh decides [default: searched]
    #[arg(long, value_name = "RATE")]
    capacity: Option<f64>,
    /// Measure the programs of this folder instead of building them
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// What is offered, as multiples of the capacity.
const OFFERED: [f64; 4] = [1.0, 1.1, 2.0, 3.0];
const SIZE: &str = "64x64x16";

#[derive(Serialize)]
struct Offered {
    times: f64,
    rate: f64,
    decided_per_second: f64,
    rejected_per_second: f64,
    expired: u64,
    lost: u64,
    p50_ms: f64,
    p99_ms: f64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let programs = build::release_or(args.programs.as_deref())?;
    let capacity = match args.capacity {
        Some(rate) => rate,
        None => e2e::profile(&programs, &Shape::default(), SIZE, args.hold)?.max_rate,
    };
    let mut figures = Vec::new();
    for times in OFFERED {
        let rate = (times * capacity).round();
        let AtRate { report, .. } = e2e::at_rate(&programs, &Shape::default(), SIZE, rate, args.hold)?;
        let per_second = |scans: u64| scans as f64 / args.hold as f64;
        figures.push(Offered {
            times,
            rate,
            decided_per_second: per_second(report.verdicts - report.expired),
            rejected_per_second: per_second(report.rejected),
            expired: report.expired,
            lost: report.lost,
            p50_ms: report.p50_ms,
            p99_ms: report.p99_ms,
        });
    }
    let most = figures.iter().map(|offered| offered.decided_per_second).fold(0.0, f64::max);
    let lines: Vec<_> = figures.iter().map(|offered| offered.line(most)).collect();
    let lines: Vec<_> = lines.iter().map(|(times, text)| (times.as_str(), text.clone())).collect();
    report::print(&format!("offered, as multiples of {capacity:.0}/s"), &lines);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

impl Offered {
    /// For people; `most` is the highest rate of decisions.
    fn line(&self, most: f64) -> (String, String) {
        let share = 100.0 * self.decided_per_second / most;
        let text = format!(
            "{:>5.0} offered/s, {:>5.0} decided/s ({share:>3.0} % of the most), {:>5.0} rejected/s, {} expired, {} lost, \
             p50 {:.0} ms, p99 {:.0} ms",
            self.rate,
            self.decided_per_second,
            self.rejected_per_second,
            self.expired,
            self.lost,
            self.p50_ms,
            self.p99_ms
        );
        (format!("{:.1} times", self.times), text)
    }
}
