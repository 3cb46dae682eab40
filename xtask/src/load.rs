//! Runs `ovomesh simulate` against a fleet, and lets something happen in the middle of it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::Context as _;
use ovomesh_testkit::{Fleet, Programs};

use crate::report::Report;

#[derive(Debug, Clone)]
pub struct Load {
    /// Scans a second, over all scanners.
    pub rate: f64,
    pub seconds: u64,
    pub scanners: u32,
    /// Size of a volume, such as `64x64x16`.
    pub size: String,
    /// Other flags of `ovomesh simulate`.
    pub flags: Vec<String>,
    /// Print the live view.
    pub show: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 200.0,
            seconds: 20,
            scanners: 8,
            size: "64x64x16".into(),
            flags: Vec::new(),
            show: false,
        }
    }
}

/// Runs a load to its end. `each_second` is called with the number of seconds that have passed.
pub fn simulate(
    programs: &Programs,
    fleet: &mut Fleet,
    load: &Load,
    mut each_second: impl FnMut(u64, &mut Fleet) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let report = fleet.folder().join("report.json");
    let mut command = programs.command("ovomesh")?;
    command
        .args(["--gateway", &fleet.entrance()?, "simulate"])
        .args(["--rate", &load.rate.to_string(), "--seconds", &load.seconds.to_string()])
        .args(["--scanners", &load.scanners.to_string(), "--size", &load.size])
        .args(&load.flags)
        .arg("--report")
        .arg(&report);
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting ovomesh simulate")?;
    let lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
    for line in lines.map_while(Result::ok) {
        if load.show {
            println!("{line}");
        }
        // The live view has one line for each second, which begins with its number.
        if let Some(second) = line.split_whitespace().next().and_then(|word| word.parse().ok()) {
            each_second(second, fleet)?;
        }
    }
    // It fails when scans were lost: the report says how many, and its reader decides.
    child.wait()?;
    Report::read(&report)
}
