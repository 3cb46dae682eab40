//! `ovomesh phantom`: synthetic eggs as DICOM files, with what is true of them beside.
//!
//! [`egg`] makes one egg and its files, [`truth`] says what is in it.

mod egg;
mod truth;

use std::fs;
use std::io::{BufWriter, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use ovomesh_phantom::{Class, Profile, Renderer, Scanner, Shares};

use self::egg::Maker;
use self::truth::Row;
use super::simulate::{Anatomy, Size, positive, share, shares};
use crate::Out;
use crate::terminal::Progress;

/// The folder of the scans within the one that was asked for: it can be sent as it is.
const SCANS: &str = "scans";
/// What is true of them.
const TRUTH: &str = "truth.csv";

const EXAMPLES: &str = "\
Examples:
  ovomesh phantom --dicom eggs/                           20 eggs as a hatchery may see on day 12
  ovomesh send eggs/scans                                 a verdict for each, to compare with eggs/truth.csv
  ovomesh phantom --count 100 --class female --profile small --snr 12 --dicom small/
  ovomesh phantom --count 5 --moving 1 --single --dicom moving/    moving embryos, one file per slice
  ovomesh --output json phantom --dicom eggs/ | jq 'select(.class == \"DEAD\") | .file'

Each egg is one series: one Enhanced MR file, or with --single a folder with one MR file per slice. PatientID is the
egg's id. Positions in truth.csv are in millimetres from the centre of the first sample: x along columns, y down rows, z
across slices, as in the files. The same seed and flags give the same eggs and samples; only the acquisition time
differs. Existing files are never overwritten.
Phantoms are physics plus assumptions: how a model does on them says nothing about real eggs.";

/// Which eggs, and where to.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder for the files; it is created if it does not exist
    #[arg(long, value_name = "DIR")]
    dicom: PathBuf,
    /// Number of eggs
    #[arg(long, value_name = "N", default_value = "20")]
    count: NonZero<u32>,
    /// Pose of the embryos, and size of their gonads
    #[arg(long, value_enum, default_value_t = Anatomy::Nominal)]
    profile: Anatomy,
    /// What every egg holds. Default: as --shares says
    #[arg(long, value_enum, conflicts_with = "shares")]
    class: Option<Holds>,
    /// Proportions of female, male, infertile and dead eggs
    #[arg(long, value_name = "F,M,I,D", default_value = "45,45,6,4", value_parser = shares)]
    shares: Shares,
    /// Share of the living embryos that move during the scan, 0 to 1. Default: the profile's, 0.15
    #[arg(long, value_name = "SHARE", value_parser = share)]
    moving: Option<f64>,
    /// Size of a scan in samples
    #[arg(long, value_enum, default_value_t = Size::Standard)]
    size: Size,
    /// Signal-to-noise ratio of the embryo, per voxel
    #[arg(long, value_name = "RATIO", default_value = "30", value_parser = positive)]
    snr: f64,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write one file per slice instead of one per egg
    #[arg(long)]
    single: bool,
}

/// What an egg holds.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Holds {
    Female,
    Male,
    /// No embryo
    Infertile,
    /// An embryo that died, early or mid-term
    Dead,
}

impl Holds {
    fn class(self) -> Class {
        match self {
            Self::Female => Class::Female,
            Self::Male => Class::Male,
            Self::Infertile => Class::Infertile,
            Self::Dead => Class::Dead,
        }
    }
}

impl Args {
    fn maker(&self) -> Maker {
        let profile = self.profile.phantoms();
        Maker {
            profile: Profile { motion_share: self.moving.unwrap_or(profile.motion_share), ..profile },
            class: self.class.map(Holds::class),
            shares: self.shares,
            scanner: Scanner::with_snr(self.snr),
            renderer: Renderer::new(&self.size.grid()),
            seed: self.seed,
            acquired: jiff::Zoned::now().datetime(),
        }
    }
}

pub(crate) fn run(args: &Args, out: &mut Out) -> anyhow::Result<ExitCode> {
    let scans = args.dicom.join(SCANS);
    fs::create_dir_all(&scans).with_context(|| format!("creating {}", scans.display()))?;
    let file = args.dicom.join(TRUTH);
    let mut table = BufWriter::new(create(&file)?);
    writeln!(table, "{}", Row::HEAD)?;
    let progress = Progress::new("making phantoms", args.count.get().into());
    let mut maker = args.maker();
    let mut counts = [0u32; 4];
    for index in 0..args.count.get() {
        let egg = maker.egg(index)?;
        let name = format!("{:05}", index + 1);
        let place = if args.single { format!("{SCANS}/{name}") } else { format!("{SCANS}/{name}.dcm") };
        if args.single {
            let folder = args.dicom.join(&place);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
            for (slice, bytes) in egg.slices()?.iter().enumerate() {
                write(&folder.join(format!("{:03}.dcm", slice + 1)), bytes)?;
            }
        } else {
            write(&args.dicom.join(&place), &egg.enhanced()?)?;
        }
        let row = Row::new(&egg, place);
        writeln!(table, "{}", row.csv())?;
        counts[egg.truth.class.index()] += 1;
        if out.is_json() {
            progress.suspend(|| out.json(&row))?;
        }
        progress.add(1);
    }
    table.flush().with_context(|| format!("writing {}", file.display()))?;
    progress.end();
    let [female, male, infertile, dead] = counts;
    out.remark(format!(
        "{} eggs in {}: {female} female, {male} male, {infertile} infertile, {dead} dead; the truth is in {}",
        args.count,
        scans.display(),
        file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A new file: somebody else's is never overwritten.
fn create(file: &Path) -> anyhow::Result<fs::File> {
    fs::File::create_new(file).with_context(|| {
        format!("creating {}; existing files are not overwritten, choose another folder", file.display())
    })
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    create(file)?.write_all(bytes).with_context(|| format!("writing {}", file.display()))
}
