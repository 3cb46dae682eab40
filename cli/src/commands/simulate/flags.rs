//! The flags of `ovomesh simulate`.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use ovomesh_api::Site;
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_phantom::{Grid, Profile, Shares};

use super::plan::{Arrivals, Load};
use super::report::RunSettings;
use crate::exit::Failure;
use crate::purpose::PurposeArg;

/// Most sends of one run: each takes some 50 bytes of memory.
const MOST_SENDS: f64 = 20e6;

const EXAMPLES: &str = "\
Examples:
  ovomesh simulate                                        200 scans/s for 20 s
  ovomesh simulate --rate 1000 --seconds 30 --warmup-seconds 3 --report run.json
  ovomesh simulate --arrivals bursts --scanners 4         whole trays of 150 at once
  ovomesh simulate --size 128x128x128 --rate 10 --encoding zstd --distinct 32
  ovomesh simulate --snr 12 --profile hard                poor images of embryos in any pose
  ovomesh --output json simulate --quiet --seconds 5 | jq '{sent, verdicts, lost, p99_ms, accuracy}'

The load is open: the time of each send is fixed in advance, latency counts from that time, and no send waits for a verdict.
When the server accepts scans too slowly, they queue here and their budgets run down.
Fails when a scan was lost, answered twice, or could not be sent.";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of scanners; each has a connection of its own
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) scanners: NonZero<u32>,
    /// Scans per second, over all scanners
    #[arg(long, value_name = "PER_SECOND", default_value = "200", value_parser = positive)]
    pub(crate) rate: f64,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = positive)]
    pub(crate) seconds: f64,
    /// Send for this long before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) warmup_seconds: u32,
    /// How scans arrive
    #[arg(long, value_enum, default_value_t = Arrivals::Fixed)]
    pub(crate) arrivals: Arrivals,
    /// Eggs per tray
    #[arg(long, value_name = "EGGS", default_value = "150")]
    pub(crate) tray: NonZero<u32>,
    /// Pose of the embryos
    #[arg(long, value_enum, default_value_t = Anatomy::Nominal)]
    pub(crate) profile: Anatomy,
    /// Share of the living embryos that move during the scan, 0 to 1. Default: the profile's, 0.15
    #[arg(long, value_name = "SHARE", value_parser = share)]
    moving: Option<f64>,
    /// Size of a scan in samples
    #[arg(long, value_enum, default_value_t = Size::Standard)]
    pub(crate) size: Size,
    /// Signal-to-noise ratio of the embryo, per voxel
    #[arg(long, value_name = "RATIO", default_value = "30", value_parser = positive)]
    pub(crate) snr: f64,
    /// Proportions of female, male, infertile and dead eggs
    #[arg(long, value_name = "F,M,I,D", default_value = "45,45,6,4", value_parser = shares)]
    pub(crate) shares: Shares,
    /// Number of distinct phantoms, made at the start; each scan has noise of its own
    #[arg(long, value_name = "N", default_value = "512")]
    pub(crate) distinct: NonZero<u32>,
    /// Seed of the random numbers: the same seed gives the same eggs, noise and times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Time from the intended send to the deadline of the verdict
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=600_000))]
    budget_ms: u32,
    /// Compression of the samples
    #[arg(long, value_enum, default_value_t = Packing::Raw)]
    pub(crate) encoding: Packing,
    /// What the scans are for; only PRODUCTION scans count in the records
    #[arg(long, value_enum, default_value_t = PurposeArg::Test)]
    pub(crate) purpose: PurposeArg,
    /// Site of all scanners
    #[arg(long, env = "OVOMESH_SITE", value_name = "NAME", default_value = "sim", value_parser = site)]
    pub(crate) site: Site,
    /// Number of lines, named `line-1` and so on, which the scanners share. Default: one line per scanner
    #[arg(long, value_name = "N")]
    lines: Option<NonZero<u32>>,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print only the report
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anatomy {
    /// Nearly the same pose
    Nominal,
    /// Any pose, with more structures that look like gonads
    Hard,
    /// Nearly the same pose, with smaller and fainter gonads
    Small,
}

/// Samples of a scan.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// 1 x 1 x 2.8 mm, 128 KiB: what a fast line sends
    #[value(name = "64x64x16")]
    Standard,
    /// 1 mm, 512 KiB
    #[value(name = "64x64x64")]
    Fine,
    /// 0.5 mm, 4 MiB
    #[value(name = "128x128x128")]
    Finest,
}

/// How samples are packed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// No compression
    Raw,
    /// One Zstandard frame per scan
    Zstd,
}

impl Args {
    /// The load, or what is wrong with it.
    pub(crate) fn load(&self) -> anyhow::Result<Load> {
        let load = Load {
            arrivals: self.arrivals,
            scanners: self.scanners.get(),
            rate: self.rate,
            warmup: self.warmup(),
            seconds: Duration::try_from_secs_f64(self.seconds)?,
            tray: self.tray.get(),
            seed: self.seed,
        };
        let expected = load.expected();
        if expected > MOST_SENDS {
            let most = format!("{expected:.0} scans are too many for one run; the most are {MOST_SENDS:.0}");
            return Err(Failure::Usage(most).into());
        }
        Ok(load)
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup_seconds.into())
    }

    /// How the eggs vary.
    pub(crate) fn phantoms(&self) -> Profile {
        let profile = self.profile.phantoms();
        Profile { motion_share: self.moving.unwrap_or(profile.motion_share), ..profile }
    }

    pub(crate) fn budget(&self) -> Duration {
        Duration::from_millis(self.budget_ms.into())
    }

    pub(crate) fn lines(&self) -> u32 {
        self.lines.unwrap_or(self.scanners).get()
    }

    /// Scans of one scanner that are due together.
    pub(crate) fn at_once(&self) -> usize {
        if self.arrivals == Arrivals::Bursts { self.tray.get() as usize } else { 1 }
    }

    /// What the report repeats.
    pub(crate) fn settings(&self, run: &str) -> RunSettings {
        RunSettings {
            run: run.to_owned(),
            scanners: self.scanners.get(),
            rate: self.rate,
            seconds: self.seconds,
            arrivals: name(&self.arrivals),
            size: self.size.name(),
            snr: self.snr,
            profile: name(&self.profile),
        }
    }
}

impl Anatomy {
    pub(crate) fn phantoms(self) -> Profile {
        match self {
            Self::Nominal => Profile::nominal(),
            Self::Hard => Profile::hard(),
            Self::Small => Profile::small(),
        }
    }
}

impl Size {
    pub(crate) fn grid(self) -> Grid {
        match self {
            Self::Standard => Grid::STANDARD,
            Self::Fine => Grid::FINE,
            Self::Finest => Grid::FINEST,
        }
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        name(&self)
    }
}

impl Packing {
    pub(crate) fn code(self) -> pb::Encoding {
        match self {
            Self::Raw => pb::Encoding::Raw,
            Self::Zstd => pb::Encoding::Zstd,
        }
    }
}

/// A value as it is written on the command line.
fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if number > 0.0 && number <= 1e6 {
        Ok(number)
    } else {
        Err("it must be above 0 and at most a million".into())
    }
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("it must be 0 to 1".into()) }
}

pub(crate) fn shares(text: &str) -> Result<Shares, String> {
    let numbers: Vec<f64> = text.split(',').map(|part| part.trim().parse().unwrap_or(f64::NAN)).collect();
    let four: [f64; 4] =
        numbers.try_into().map_err(|_| "it must be four numbers such as 45,45,6,4".to_owned())?;
    Shares::new(four).map_err(|error| error.to_string())
}

fn site(text: &str) -> Result<Site, String> {
    Site::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::{Cli, Command, command};

    fn parse(flags: &str) -> Result<Args, String> {
        let words = ["ovomesh", "simulate"].into_iter().chain(flags.split_whitespace());
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        match Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?.command {
            Command::Simulate(args) => Ok(*args),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn without_flags_it_is_the_load_of_the_demo() {
        let args = parse("").unwrap();
        assert_eq!((args.scanners.get(), args.rate, args.seconds, args.lines()), (8, 200.0, 20.0, 8));
        assert_eq!((args.budget(), args.size.grid()), (Duration::from_secs(2), Grid::STANDARD));
        assert_eq!((args.purpose.code(), args.shares), (pb::Purpose::Test, shares("45,45,6,4").unwrap()));
    }

    #[test]
    fn values_that_cannot_work_are_refused_where_they_stand() {
        for (flags, word) in [
            ("--scanners 0", "--scanners"),
            ("--rate -3", "-3"),
            ("--rate nan", "above 0"),
            ("--seconds 0", "above 0"),
            ("--shares 1,2,3", "four numbers"),
            ("--shares 0,0,0,0", "more than 0"),
            ("--shares 1,x,3,4", "0 or more"),
            ("--moving 1.5", "0 to 1"),
            ("--site a/b", "not allowed"),
            ("--size 65x65x65", "64x64x16"),
            ("--budget-ms 0", "1..=600000"),
            ("--distinct 0", "--distinct"),
        ] {
            let error = parse(flags).unwrap_err();
            assert!(error.contains(word), "{flags}: {error}");
        }
        assert!(parse("--rate 100000 --seconds 1000").unwrap().load().is_err(), "more than fits into memory");
    }
}
