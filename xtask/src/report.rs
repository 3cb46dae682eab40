//! What `ovomesh simulate --report` writes, and how it is printed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// The fields of a simulation's report that are used here.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    pub sent: u64,
    pub verdicts: u64,
    pub rejected: u64,
    pub committed: u64,
    pub undecided: u64,
    pub expired: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub accuracy: Option<f64>,
    pub accuracy_low: Option<f64>,
    pub accuracy_high: Option<f64>,
    pub distinct_eggs: u64,
    /// Scans by truth and call.
    pub confusion: BTreeMap<String, Calls>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub timeline: Vec<Second>,
}

/// Counts by call.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Calls {
    pub female: u64,
    pub male: u64,
    pub no_embryo: u64,
    pub undecided: u64,
}

impl Calls {
    pub fn all(self) -> u64 {
        self.female + self.male + self.no_embryo + self.undecided
    }
}

/// One second of a simulation, by the intended times of its scans.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Second {
    pub second: u64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Report {
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("in {}", file.display()))
    }

    /// For each intended send one answer, and for each verdict a stored row.
    pub fn nothing_lost(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.verdicts + self.rejected == self.sent
            && self.committed == self.verdicts
    }

    /// The slowest verdict of some seconds, and their worst p99.
    pub fn worst(&self, seconds: std::ops::RangeInclusive<u64>) -> (f64, f64) {
        let those = self.timeline.iter().filter(|s| seconds.contains(&s.second));
        those.fold((0.0, 0.0), |(max, p99), s| (s.max_ms.max(max), s.p99_ms.max(p99)))
    }
}

/// Prints lines under a heading.
pub fn print(heading: &str, lines: &[(&str, String)]) {
    println!("\n{heading}");
    for (name, text) in lines {
        println!("  {name:<10} {text}");
    }
}
