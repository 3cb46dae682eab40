//! The training loop. Everything random comes from the seed and the number of the step, so that a run that was broken
//! off and resumed is the same run.

use crate::checkpoint::{Checkpoint, Progress};
use crate::cpu::process_seconds;
use crate::data::{Batch, Taking, training_batch};
use crate::eggs::{Eggs, Purpose, mixture};
use crate::loss::{Loss, Phase, loss};
use crate::net::Net;
use crate::optim::{AdamW, move_average, paired};
use crate::recipe::Recipe;
use anyhow::{Context, Result, anyhow, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use ovomesh_phantom::seed_of;
use std::f64::consts::PI;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use tch::nn::VarStore;
use tch::{Device, Kind};

/// Share of the steps in which the window is put where the gonads truly are, before the net can find them.
const EARLY: f64 = 0.05;
/// Share of the steps after which the pose has been learnt and only the sex is trained on.
const POSE: f64 = 0.32;
/// Share of the steps over which noise is raised: without it the net does not begin to learn.
const EASY: f64 = 0.2;
/// Share of the images that are mirrored.
pub(crate) const MIRRORED: f64 = 0.15;
/// Steps until the learning rate is at its highest.
const WARM_UP: f64 = 100.0;
/// Eggs of a chapter, so that there are some of each kind.
const FEWEST: usize = 16;
/// Steps between checkpoints: half a minute of work at most is lost.
const CHECKPOINT_EVERY: usize = 500;
/// Batches that are made ahead of their use.
const AHEAD: usize = 3;
/// How much of the shown figures the newest step is.
const SHOWN: f64 = 0.01;

/// Where a training keeps its checkpoint, and how far it goes.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    /// Folder of the checkpoint.
    pub(crate) folder: &'a Path,
    /// Continue from the checkpoint, if there is one.
    pub(crate) resume: bool,
    /// Stop before this step, with a checkpoint.
    pub(crate) stop_at: Option<usize>,
    /// Threads that make eggs.
    pub(crate) threads: NonZero<usize>,
}

/// What a training gives.
pub(crate) struct Trained {
    /// Averaged over the last steps.
    pub(crate) weights: VarStore,
    /// The eggs of the last chapter.
    pub(crate) eggs: Eggs,
    /// Seconds of processor time of all sessions, eggs included.
    pub(crate) cpu_seconds: f64,
}

/// Trains, or gives nothing when it was to stop before the end.
pub(crate) fn train(recipe: &Recipe, session: &Session<'_>) -> Result<Option<Trained>> {
    ensure!(recipe.steps > 0, "--steps is 0; it must be 1 at least");
    ensure!(
        recipe.eggs / recipe.chapters >= FEWEST,
        "--eggs {} in --chapters {} is less than {FEWEST} eggs at a time",
        recipe.eggs,
        recipe.chapters
    );
    let kind = if recipe.bf16 { Kind::BFloat16 } else { Kind::Float };
    tch::manual_seed(recipe.seed as i64);
    let vars = VarStore::new(Device::Cpu);
    let net = Net::new(&vars.root(), recipe.widths, kind);
    let mut average = VarStore::new(Device::Cpu);
    Net::new(&average.root(), recipe.widths, kind);
    average.copy(&vars).context("both stores hold the same net")?;
    average.freeze();
    let pairs = paired(&average, &vars);
    let mut optimiser = AdamW::new(&vars);
    let checkpoint = Checkpoint::new(session.folder, recipe);
    let before =
        if session.resume { checkpoint.load(&vars, &average, &mut optimiser)? } else { Progress::default() };
    let done = before.done;
    let end = session.stop_at.unwrap_or(recipe.steps).clamp(done, recipe.steps);

    let (send, batches) = sync_channel::<Batch>(AHEAD);
    std::thread::scope(|scope| {
        let making = scope.spawn(move || {
            make_batches(recipe, session.threads, done..end, |batch| send.send(batch).is_ok())
        });
        // Owned here, so that an error below also ends the thread that makes batches.
        let batches = batches;
        let mut shown = Shown::new(recipe, done);
        let began = process_seconds();
        let spent = || before.cpu_seconds + process_seconds() - began;
        for step in done..end {
            let batch = batches.recv().context("the thread that makes batches has ended")?;
            // What is random in the net (dropout, jitter) depends on the step alone, not on the steps of this session.
            tch::manual_seed(seed_of(seed_of(recipe.seed, 6), step as u64) as i64);
            let phase = phase(recipe, step);
            let loss = loss(&net, &batch, phase);
            optimiser.step(&loss.total, rate(recipe, step), step + 1, |name| {
                phase != Phase::Sex || Net::is_sexing(name)
            });
            move_average(&pairs, step + 1);
            shown.step(&loss)?;
            if (step + 1) % CHECKPOINT_EVERY == 0 || step + 1 == end {
                let progress = Progress { done: step + 1, cpu_seconds: spent() };
                checkpoint.save(&vars, &average, &optimiser, progress)?;
                shown.print();
            }
        }
        let eggs = making.join().map_err(|_| anyhow!("the thread that makes batches has panicked"))?;
        Ok((end == recipe.steps).then(|| Trained { weights: average, eggs, cpu_seconds: spent() }))
    })
}

/// Makes the batches of the steps in order, until `take` wants no more; gives the eggs of the last one's chapter.
fn make_batches(
    recipe: &Recipe,
    threads: NonZero<usize>,
    steps: Range<usize>,
    take: impl Fn(Batch) -> bool,
) -> Eggs {
    let chapter = |step: usize| (step * recipe.chapters / recipe.steps).min(recipe.chapters - 1) as u64;
    let make = |chapter| {
        let purpose = Purpose::Train(chapter);
        Eggs::make(purpose, &mixture(recipe.eggs / recipe.chapters), recipe.seed, threads, |_| ())
    };
    let mut now = chapter(steps.start);
    let mut eggs = make(now);
    for step in steps {
        if chapter(step) != now {
            now = chapter(step);
            // The old ones go first: there is room for one chapter.
            drop(eggs);
            eggs = make(now);
        }
        let (low, high) = recipe.snr;
        // From the upper three fifths of the range (in decibels) down to all of it.
        let easy = 0.6 * (1.0 - share(recipe, step) / EASY).max(0.0);
        let low = (low.ln() + (high.ln() - low.ln()) * easy).exp();
        let taking = Taking { snr: (low, high), shift: 1, mirrored: Some(MIRRORED), ..recipe.taking() };
        if !take(training_batch(&eggs, recipe.batch, &taking, recipe.seed, step)) {
            break;
        }
    }
    eggs
}

fn share(recipe: &Recipe, step: usize) -> f64 {
    step as f64 / recipe.steps as f64
}

fn phase(recipe: &Recipe, step: usize) -> Phase {
    match share(recipe, step) {
        share if share < EARLY => Phase::Early,
        share if share < POSE => Phase::All,
        _ => Phase::Sex,
    }
}

/// Falls to nothing along a cosine, once until the pose is learnt and once again for the sex.
fn rate(recipe: &Recipe, step: usize) -> f64 {
    let posing = (recipe.steps as f64 * POSE).ceil();
    let step = step as f64;
    let (done, of) =
        if step < posing { (step, posing) } else { (step - posing, recipe.steps as f64 - posing) };
    let warm = ((done + 1.0) / WARM_UP).min(1.0);
    recipe.rate * warm * (0.5 + 0.5 * (PI * done / of).cos()) + 1e-6
}

/// What the person in front of it sees.
struct Shown {
    bar: ProgressBar,
    loss: f64,
    right: f64,
    off: [f64; 3],
}

impl Shown {
    fn new(recipe: &Recipe, done: usize) -> Self {
        let style =
            ProgressStyle::with_template("training {bar:30} {pos}/{len}, {per_sec}, {eta} left, {msg}");
        let bar = ProgressBar::new(recipe.steps as u64).with_position(done as u64);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        // The speed of this session, not counting what an earlier one did.
        bar.reset_eta();
        Self { bar, loss: f64::NAN, right: f64::NAN, off: [f64::NAN; 3] }
    }

    fn step(&mut self, loss: &Loss) -> Result<()> {
        let smooth = |shown: f64, new: f64| if shown.is_nan() { new } else { shown + SHOWN * (new - shown) };
        let total = loss.total.double_value(&[]);
        ensure!(
            total.is_finite(),
            "the loss is not finite at step {}; try a lower --rate",
            self.bar.position()
        );
        self.loss = smooth(self.loss, total);
        self.right = smooth(self.right, loss.right);
        for (shown, new) in self.off.iter_mut().zip(loss.off) {
            *shown = smooth(*shown, new);
        }
        self.bar.set_message(self.figures());
        self.bar.inc(1);
        Ok(())
    }

    fn figures(&self) -> String {
        let [rough, fine, mm] = self.off;
        format!(
            "loss {:.3}, sex right {:.1} %, axes off {rough:.3}, {fine:.3}, {mm:.2} mm",
            self.loss,
            100.0 * self.right
        )
    }

    /// A line that stays, also where the output is a file and there is no bar.
    fn print(&self) {
        let (done, left) = (self.bar.position(), self.bar.eta().as_secs());
        let speed = self.bar.per_sec();
        self.bar.suspend(|| println!("step {done}: {}, {speed:.1} steps/s, {left} s left", self.figures()));
    }
}
