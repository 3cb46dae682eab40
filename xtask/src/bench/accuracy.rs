//! How often the whole chain is right: phantoms of unseen seeds through all services, under the released policy.

use std::path::PathBuf;

use ovomesh_testkit::{Fleet, Shape};
use serde::Serialize;

use crate::build;
use crate::load::{Load, simulate};
use crate::report::{Calls, Report};

/// How to measure accuracy.
#[derive(clap::Args)]
pub struct Args {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Distinct eggs of each set
    #[arg(long, default_value_t = 6_000, value_name = "N")]
    eggs: u32,
    /// Seed of the eggs. No seed of `cargo xtask train` gives the eggs of any seed here
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Measure the programs of this folder instead of building them
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// A name, and the flags of `ovomesh simulate` that make it.
const EGG_SETS: [(&str, &[&str]); 7] = [
    ("nominal, SNR 30", &["--snr", "30"]),
    ("hard (any pose), SNR 30", &["--profile", "hard", "--snr", "30"]),
    ("small gonads, SNR 30", &["--profile", "small", "--snr", "30"]),
    ("nominal, SNR 15", &["--snr", "15"]),
    ("nominal, SNR 10", &["--snr", "10"]),
    ("all moving, SNR 30", &["--moving", "1", "--snr", "30"]),
    ("all moving, SNR 12", &["--moving", "1", "--snr", "12"]),
];
/// Below what any machine holds, so that nothing expires.
const RATE: f64 = 250.0;

/// One set of eggs and its figures.
#[derive(Serialize)]
struct EggSet {
    name: &'static str,
    eggs: u64,
    /// Right among those called FEMALE or MALE, whatever they were.
    called_right: f64,
    called: u64,
    /// Share of the living that were called neither.
    undecided_of_living: f64,
    /// Share of the infertile and dead that were called FEMALE or MALE.
    not_living_given_a_sex: f64,
    /// Answered too late to be judged: none, or the rate was too high for this machine.
    expired: u64,
}

/// Measures all sets of eggs.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let programs = build::release_or(args.programs.as_deref())?;
    let mut fleet = Fleet::start(&programs, Shape::default())?;
    println!(
        "{:<24}  {:>5}  {:>7}  {:>12}  {:>21}  {:>14}",
        "set of eggs", "eggs", "called", "right of them", "undecided of living", "sex, not living"
    );
    let mut sets = Vec::new();
    for (name, flags) in EGG_SETS {
        let own =
            ["--distinct".to_owned(), args.eggs.to_string(), "--seed".to_owned(), args.seed.to_string()];
        let load = Load {
            rate: RATE,
            seconds: u64::from(args.eggs).div_ceil(RATE as u64),
            flags: own.into_iter().chain(flags.iter().map(|&flag| flag.to_owned())).collect(),
            ..Load::default()
        };
        let set = EggSet::new(name, &simulate(&programs, &mut fleet, &load, |_, _| Ok(()))?);
        println!(
            "{:<24}  {:>5}  {:>7}  {:>11.2} %  {:>19.2} %  {:>12.2} %",
            set.name,
            set.eggs,
            set.called,
            100.0 * set.called_right,
            100.0 * set.undecided_of_living,
            100.0 * set.not_living_given_a_sex
        );
        sets.push(set);
    }
    fleet.stop()?;
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&sets)?)?;
    }
    Ok(())
}

impl EggSet {
    fn new(name: &'static str, report: &Report) -> Self {
        let of = |class: &str| report.confusion.get(class).copied().unwrap_or_default();
        let [female, male, infertile, dead] = ["female", "male", "infertile", "dead"].map(of);
        let sexed = |calls: Calls| calls.female + calls.male;
        let called = [female, male, infertile, dead].map(sexed).iter().sum::<u64>();
        let living = female.all() + male.all();
        let not_living = infertile.all() + dead.all();
        let share = |some: u64, of: u64| some as f64 / of.max(1) as f64;
        Self {
            name,
            eggs: report.distinct_eggs,
            called_right: share(female.female + male.male, called),
            called,
            undecided_of_living: share(living - sexed(female) - sexed(male), living),
            not_living_given_a_sex: share(sexed(infertile) + sexed(dead), not_living),
            expired: report.expired,
        }
    }
}
