//! Trains the model from phantoms, measures it and writes it into the model repository.

mod calibrate;
mod card;
mod checkpoint;
mod data;
mod evaluate;
mod export;
mod judge;
mod layers;
mod loss;
mod net;
mod optim;
mod prepare;
mod share;
mod speed;
mod strange;
mod train;
mod unknown;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use data::{Purpose, Taking, eggs};
use evaluate::{Figures, figures, judge, threshold};
use indicatif::{ProgressBar, ProgressStyle};
use net::Widths;
use ovomesh_api::policy::{Costs, Policy};
use ovomesh_inference::manifest::ModelId;
use ovomesh_inference::model::{Model, Precision};
use std::num::NonZero;
use std::path::PathBuf;
use tch::{Device, Kind};
use train::{Recipe, Session, Trained, train};

/// Trains the model from phantoms: makes eggs, trains, calibrates, exports, measures, and writes the card.
#[derive(Debug, Parser)]
#[command(name = "ovomesh-train", version)]
pub struct Args {
    /// Name and version of the model to write.
    #[arg(long, default_value = "egg-flat/0.1.0")]
    model: ModelId,
    /// The model repository.
    #[arg(long, default_value = "models", env = "OVOMESH_MODELS")]
    models: PathBuf,
    /// Folder for checkpoints.
    #[arg(long, default_value = "target/train")]
    work: PathBuf,
    /// Go on from the checkpoint in --work, if there is one of the same recipe.
    #[arg(long)]
    resume: bool,
    /// Stop after this step, to go on later with --resume.
    #[arg(long, value_name = "STEP")]
    stop_after: Option<usize>,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Width of the net.
    #[arg(long, value_enum, default_value_t = Size::Flat)]
    size: Size,
    /// Steps of gradient descent.
    #[arg(long, default_value_t = 8_000)]
    steps: usize,
    /// Scans a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Different eggs to learn from (128 KiB of memory each).
    #[arg(long, default_value_t = 24_000)]
    eggs: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 3e-3)]
    rate: f64,
    /// Threads that make eggs; training itself computes on one and prepares scans on another.
    #[arg(long, default_value = "2")]
    threads: NonZero<usize>,
    /// Few eggs everywhere: to see that all steps run, not to get a model.
    #[arg(long)]
    tiny: bool,
}

/// Widths by name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    /// 134 thousand weights, 18 MFLOP a scan.
    Flat,
    /// 66 thousand weights, 9 MFLOP a scan.
    Small,
}

/// Lowest and highest SNR of the trunk to train on.
const TRAINING_SNR: (f64, f64) = (10.0, 60.0);
/// SNR to measure at, and the one that a scanner is expected to reach.
const MEASURED_SNR: [f64; 5] = [10.0, 15.0, 20.0, 30.0, 45.0];
const NOMINAL_SNR: f64 = 30.0;
/// Eggs to calibrate with, and to measure with.
const HELD_OUT: usize = 4_000;
/// Images of each kind that is no egg.
const UNKNOWN: usize = 304;
/// Rounds of the measurement of speed, of which the fastest counts: the others shared the caches with other work.
const ROUNDS: usize = 5;
/// Eggs of each set when `--tiny`.
const TINY: usize = 64;
/// The suggested policy withholds about this share of the living eggs at the nominal SNR.
const WITHHELD: f64 = 0.03;

/// Does all of it.
pub fn run(args: &Args) -> Result<()> {
    tch::set_num_threads(1);
    let recipe = args.recipe();
    let many = |count| if args.tiny { TINY } else { count };
    let make = |what: &'static str, purpose, count| {
        let bar = progress(what, count);
        eggs(purpose, count, args.seed, args.threads, |done| bar.set_position(done as u64))
    };
    let training_eggs = make("eggs to train on", Purpose::Train, recipe.eggs);
    let session = Session { folder: &args.work, resume: args.resume, stop_at: args.stop_after };
    let Some(Trained { weights, seconds }) = train(&recipe, &training_eggs, &session)? else {
        println!("stopped as asked; go on with the same flags and --resume");
        return Ok(());
    };

    let held_out = make("eggs to calibrate with", Purpose::Calibrate, many(HELD_OUT));
    let net = export::served(&weights, recipe.widths, Kind::Float)?;
    let calibrated = calibrate::calibrate(&net, &training_eggs, &held_out, recipe.snr, args.seed);
    drop(training_eggs);
    let folder = args.models.join(&args.model.name).join(&args.model.version);
    let temperatures = calibrated.temperatures;
    let manifest =
        export::export(&folder, &args.model, &weights, recipe.widths, temperatures, calibrated.strangeness)?;
    // Twice: first what is needed to load the files, then also what was measured with them.
    let toml = folder.join("model.toml");
    std::fs::write(&toml, toml::to_string(&manifest)?).with_context(|| toml.display().to_string())?;

    let load = |precision| Model::load(&args.models, &args.model, Device::Cpu, precision);
    let (fp32, bf16) = (load(Precision::Fp32)?, load(Precision::Bf16)?);
    let sure = threshold(&judge(&fp32, &held_out, &Taking::at(NOMINAL_SNR), args.seed)?, WITHHELD);
    let policy =
        Policy { name: "suggested".to_owned(), costs: Costs::calling_from(sure, sure), ..Policy::default() };
    let test_eggs = make("eggs to measure with", Purpose::Test, many(HELD_OUT));
    let measure = |model: &Model, snr: f64| -> Result<Figures> {
        Ok(figures(snr, &judge(model, &test_eggs, &Taking::at(snr), args.seed)?, &policy))
    };
    let report = card::Report {
        manifest,
        provenance: card::Provenance {
            trainer: format!("ovomesh-train {}, tch 0.26, torch 2.13", env!("CARGO_PKG_VERSION")),
            data: "ovomesh-phantom, nominal profile".to_owned(),
            preprocess: ovomesh_imaging::VERSION.to_owned(),
            weights: export::learnt(&weights),
            temperatures,
            training_minutes: (seconds / 60.0).round(),
        },
        training: recipe,
        suggested_policy: card::Suggested {
            female_at: sure,
            male_at: sure,
            max_strangeness: policy.max_strangeness,
        },
        accuracy: MEASURED_SNR.iter().map(|&snr| measure(&fp32, snr)).collect::<Result<_>>()?,
        accuracy_bf16: measure(&bf16, NOMINAL_SNR)?,
        unknown: unknown::measure(
            &fp32,
            &test_eggs,
            &policy,
            if args.tiny { 16 } else { UNKNOWN },
            args.seed,
        )?,
        speed: speed::measure(&[&fp32, &bf16], if args.tiny { 1 } else { ROUNDS })?,
    };
    std::fs::write(&toml, report.toml()?).with_context(|| toml.display().to_string())?;
    let card = folder.join("CARD.md");
    std::fs::write(&card, report.card()).with_context(|| card.display().to_string())?;
    println!("{}", report.summary());
    println!("wrote {}", folder.display());
    Ok(())
}

impl Args {
    fn recipe(&self) -> Recipe {
        Recipe {
            widths: match self.size {
                Size::Flat => Widths::FLAT,
                Size::Small => Widths::SMALL,
            },
            seed: self.seed,
            steps: self.steps,
            batch: self.batch,
            eggs: if self.tiny { TINY } else { self.eggs },
            rate: self.rate,
            snr: TRAINING_SNR,
            bf16: true,
        }
    }
}

fn progress(what: &'static str, count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {per_sec}, {eta} left");
    let bar = ProgressBar::new(count as u64).with_message(what);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
