//! `cargo xtask bench autoscaling`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use ovomesh_autoscaling::report::{Report, table};
use ovomesh_autoscaling::{plots, study};

/// Compares the operator's scaling decision with KEDA and HPA on a simulated fleet
///
/// Pod-hours are equal within 2 % wherever it says so: the target of KEDA is the best of all such. The bound is somebody
/// who knows all that will come, but no surge, fail-over or new line before it begins. docs/scaling.md tells more.
#[derive(Parser)]
struct Args {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write two SVG pictures for each trace to this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Draws of each trace, 1 to 100
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// The first of the draws: others than the decision was made with tell whether it was made for them
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    first_seed: u64,
    /// Only traces whose name contains this: steady, tray-bursts, morning-ramp, fail-over, surge, pod-crash
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The fastest start of a replica in seconds
    #[arg(long, default_value_t = 30.0)]
    start_from: f64,
    /// The slowest start of a replica in seconds
    #[arg(long, default_value_t = 120.0)]
    start_to: f64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let starts = [args.start_from, args.start_to];
    anyhow::ensure!(
        0.0 <= starts[0] && starts[0] <= starts[1] && starts[1] <= 3_600.0,
        "--start-from {} and --start-to {} have to be 0 to 3600, in this order",
        starts[0],
        starts[1]
    );
    let traces = study::study(args.first_seed..args.first_seed + args.seeds, starts, args.only.as_deref());
    anyhow::ensure!(!traces.is_empty(), "no trace is named {:?}: see --help", args.only.unwrap_or_default());
    println!("{}", table(&traces));
    if let Some(file) = &args.json {
        let report =
            Report { seeds: args.seeds, first_seed: args.first_seed, start_seconds: starts, traces: &traces };
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(folder) = &args.plots {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, svg) in traces.iter().flat_map(plots::plots) {
            let file = folder.join(name);
            fs::write(&file, svg).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}
