//! Trains the model from phantoms, measures it and writes it into the model repository.

mod calibrate;
mod card;
mod checkpoint;
mod cpu;
mod data;
mod doubt;
mod eggs;
mod evaluate;
mod export;
mod frame;
mod input;
mod judge;
mod layers;
mod loss;
mod measure;
mod net;
mod optim;
mod pictures;
mod prepare;
mod publish;
mod recipe;
mod report;
mod share;
mod speed;
mod strange;
mod study;
mod train;
mod unknown;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use eggs::{Eggs, Part, Purpose};
use indicatif::{ProgressBar, ProgressStyle};
use measure::Meter;
use net::Widths;
use ovomesh_api::policy::Policy;
use ovomesh_model::device::cpu_has_bf16;
use ovomesh_model::manifest::ModelId;
use ovomesh_model::model::{Model, Precision};
use prepare::Step;
use recipe::Recipe;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use tch::{Device, Kind};
use train::{Session, train};

/// Trains the model from phantoms: makes eggs, trains, calibrates, exports, measures, and writes the card.
#[derive(Debug, Parser)]
#[command(name = "ovomesh-train", version)]
pub struct Args {
    /// Name and version of the model to write.
    #[arg(long, default_value = "egg-pose/0.3.1")]
    model: ModelId,
    /// The model repository.
    #[arg(long, default_value = "models", env = "OVOMESH_MODELS")]
    models: PathBuf,
    /// Folder for checkpoints.
    #[arg(long, default_value = "target/train")]
    work: PathBuf,
    /// Continue from the checkpoint in --work, if there is one of the same recipe.
    #[arg(long)]
    resume: bool,
    /// Stop after this step, to continue later with --resume.
    #[arg(long, value_name = "STEP")]
    stop_after: Option<usize>,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Width of the net.
    #[arg(long, value_enum, default_value_t = Size::Pose)]
    size: Size,
    /// Steps of gradient descent.
    #[arg(long, default_value_t = 12_000)]
    steps: usize,
    /// Scans a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Different eggs to learn from in all.
    #[arg(long, default_value_t = 256_000)]
    eggs: usize,
    /// As many sets of eggs, one after the other, share them: only one set is in memory (128 KiB an egg).
    #[arg(long, default_value = "16")]
    chapters: NonZero<usize>,
    /// Highest learning rate.
    #[arg(long, default_value_t = 3e-3)]
    rate: f64,
    /// What convolutions are trained in: auto, fp32 or bf16. auto takes bf16 where the CPU multiplies it natively; elsewhere
    /// it is some 30 times slower than fp32. The card names it
    #[arg(long, default_value = "auto")]
    precision: Precision,
    /// Threads that make eggs; training itself computes on one and prepares scans on another.
    #[arg(long, default_value = "2")]
    threads: NonZero<usize>,
    /// Write no model: only add the figures of this training, under this name, to the card of the one that is there.
    #[arg(long, value_name = "NAME")]
    study: Option<String>,
    /// Leave out a step of preprocessing; for a study.
    #[arg(long, value_enum, value_name = "STEP", requires = "study")]
    without: Option<Step>,
    /// Train nothing: only write the card again, with the studies that have been added.
    #[arg(long)]
    card: bool,
    /// Few eggs everywhere: to see that all steps run, not to get a model.
    #[arg(long)]
    tiny: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    /// What is served.
    Pose,
    /// For quick looks.
    Small,
}

/// Lowest and highest SNR of the trunk to train on.
const TRAINING_SNR: (f64, f64) = (8.0, 60.0);
/// Eggs to calibrate with, and eggs of each set to measure with.
const HELD_OUT: usize = 8_000;
const MEASURED: usize = 6_000;
/// A study does with a share of both: its figures are only compared with each other, on the same eggs.
const STUDIED: usize = 2;
/// Images of each kind that is no egg.
const UNKNOWN: usize = 304;
/// Rounds of the measurement of speed, of which the fastest counts: the others shared the caches with other work.
const ROUNDS: usize = 5;
/// Eggs of each set when `--tiny`.
const TINY: usize = 32;

/// Does all of it.
pub fn run(args: &Args) -> Result<()> {
    tch::set_num_threads(1);
    let recipe = args.recipe();
    let folder = args.models.join(&args.model.name).join(&args.model.version);
    if args.card {
        return publish::publish(&report::Report::read(&folder)?, &folder);
    }
    let session =
        Session { folder: &args.work, resume: args.resume, stop_at: args.stop_after, threads: args.threads };
    let Some(trained) = train(&recipe, &session)? else {
        println!("stopped as asked; continue with the same flags and --resume");
        return Ok(());
    };

    let held_out =
        args.make("eggs to calibrate with", Purpose::Calibrate, &eggs::mixture(args.many(HELD_OUT)));
    let net = export::served(&trained.weights, recipe.widths, Kind::Float)?;
    let calibrated = calibrate::calibrate(&net, &trained.eggs, &held_out, &recipe.taking(), args.seed);
    let train::Trained { weights, eggs, cpu_seconds } = trained;
    drop((eggs, held_out));
    let temporary = args.work.join("study");
    let models = if args.study.is_some() { &temporary } else { &args.models };
    let temperature = calibrated.temperature;
    let files = models.join(&args.model.name).join(&args.model.version);
    let manifest = export::export(&files, &args.model, &weights, recipe.widths, calibrated)?;
    // Twice: first what is needed to load the files, then also what was measured with them.
    write(&files.join("model.toml"), &toml::to_string(&manifest)?)?;

    let load = |precision| Model::load(models, &args.model, Device::Cpu, precision);
    let (fp32, bf16) = (load(Precision::Fp32)?, load(Precision::Bf16)?);
    let policy = Policy::default();
    let meter =
        Meter { fp32: &fp32, bf16: &bf16, policy: &policy, eggs: args.many(MEASURED), threads: args.threads };
    if let Some(name) = &args.study {
        let study = study::Study::of(name, &recipe, &meter)?;
        println!("{study:?}");
        return study::add(&folder, study);
    }
    let report = report::Report {
        provenance: report::Provenance::new(&weights, cpu_seconds, temperature),
        training: recipe,
        policy: report::Thresholds::of(&policy),
        measured: meter.measure(|part| println!("measured: {part}"))?,
        unknown: unknown::measure(&fp32, &policy, if args.tiny { 16 } else { UNKNOWN }, args.threads)?,
        speed: if args.tiny {
            speed::measure(&[&fp32, &bf16], 1, TINY)?
        } else {
            speed::measure(&[&fp32, &bf16], ROUNDS, speed::SCANS)?
        },
        studies: study::read(&folder)?,
        manifest,
    };
    write(&folder.join("model.toml"), &report.toml()?)?;
    publish::publish(&report, &folder)?;
    println!("{}", report.summary());
    println!("wrote {}", folder.display());
    Ok(())
}

impl Args {
    fn recipe(&self) -> Recipe {
        Recipe {
            widths: match self.size {
                Size::Pose => Widths::POSE,
                Size::Small => Widths::SMALL,
            },
            seed: self.seed,
            steps: self.steps,
            batch: self.batch,
            eggs: if self.tiny { TINY * self.chapters.get() } else { self.eggs },
            chapters: self.chapters.get(),
            rate: self.rate,
            snr: TRAINING_SNR,
            bf16: match self.precision {
                Precision::Auto => cpu_has_bf16(),
                Precision::Fp32 => false,
                Precision::Bf16 => true,
            },
            without: self.without,
        }
    }

    fn many(&self, count: usize) -> usize {
        match (self.tiny, &self.study) {
            (true, _) => TINY,
            (false, Some(_)) => count / STUDIED,
            (false, None) => count,
        }
    }

    fn make(&self, what: &'static str, purpose: Purpose, parts: &[Part]) -> Eggs {
        let bar = progress(what, parts.iter().map(|part| part.count).sum());
        Eggs::make(purpose, parts, self.seed, self.threads, |done| bar.set_position(done as u64))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn progress(what: &'static str, count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {per_sec}, {eta} left");
    let bar = ProgressBar::new(count as u64).with_message(what);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
