//! Measures the files that are served, on eggs that nothing was fitted to, through the real preprocessing.

use crate::data::{Batch, SPACING_MM, Taking, measuring_batch};
use crate::share::Share;
use anyhow::Result;
use ovomesh_api::pb::scan::v1::{Call, Quality as PbQuality, Scores as PbScores};
use ovomesh_api::policy::{Policy, p_female};
use ovomesh_imaging::Quality;
use ovomesh_inference::model::{Model, Scores};
use ovomesh_phantom::Library;
use serde::Serialize;
use tch::Kind;

/// Scans that go through the model at once: the largest batch that is served.
const BATCH: usize = 16;

/// One egg: what is true, and what the model said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// 0 female, 1 male, 2 infertile, 3 dead.
    pub(crate) class: usize,
    /// Whether the embryo moved during the scan.
    pub(crate) moved: bool,
    /// How good the image is, or nothing where preprocessing says that it shows no egg.
    pub(crate) quality: Option<Quality>,
    /// What the model said.
    pub(crate) scores: Scores,
    /// Distance of the gonads' midpoint from the truth, of living eggs with a located one.
    pub(crate) off_mm: Option<f64>,
}

/// What a set of eggs says about a model.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// Signal to noise of the trunk.
    pub(crate) snr: f64,
    /// How many eggs, and how many of them with a living embryo.
    pub(crate) eggs: [usize; 2],
    /// Sex right, of all living eggs, nothing withheld; "no embryo" counts as wrong.
    pub(crate) sex_right: Share,
    /// The same of eggs that kept still, and that moved.
    pub(crate) sex_right_still: Share,
    /// See above.
    pub(crate) sex_right_moving: Share,
    /// Living, infertile or dead right, of all eggs.
    pub(crate) kind_right: Share,
    /// Under the suggested policy: living eggs without a call.
    pub(crate) withheld: Share,
    /// Under the suggested policy: sex right, of living eggs that were called anything.
    pub(crate) called_right: Share,
    /// Strangeness above 1.
    pub(crate) strange: Share,
    /// Expected calibration error of the surest class, ten bins.
    pub(crate) calibration_error: f64,
    /// Error of the gonads' midpoint in millimetres: median and 99 % quantile.
    pub(crate) centre_mm: [f64; 2],
    /// Sex right when this share of the living eggs, the least sure, is withheld: 0, 1, 2, 3, 5, 10 %.
    pub(crate) keeping_the_surest: Vec<f64>,
}

/// The shares of [`Figures::keeping_the_surest`].
pub(crate) const WITHHELD: [f64; 6] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.1];

/// Scans every egg once and asks the model.
pub(crate) fn judge(model: &Model, eggs: &Library, taking: &Taking, seed: u64) -> Result<Vec<Judged>> {
    let _no_grad = tch::no_grad_guard();
    let mut judged = Vec::with_capacity(eggs.len());
    for first in (0..eggs.len()).step_by(BATCH) {
        let batch = measuring_batch(eggs, first..(first + BATCH).min(eggs.len()), taking, seed);
        let scores = model.run(&batch.input, batch.quality.len())?;
        judged.extend(scores.into_iter().enumerate().map(|(index, scores)| one(&batch, index, scores)));
    }
    Ok(judged)
}

fn one(batch: &Batch, index: usize, scores: Scores) -> Judged {
    let at = index as i64;
    let class = usize::try_from(batch.class.int64_value(&[at])).unwrap_or(usize::MAX);
    let truth = batch.gonads.get(at).mean_dim([0_i64].as_slice(), false, Kind::Float);
    let off = |found_mm: [f32; 3]| {
        let axis = |axis: usize| {
            f64::from(found_mm[2 - axis]) - truth.double_value(&[axis as i64]) * SPACING_MM[axis]
        };
        (axis(0).powi(2) + axis(1).powi(2) + axis(2).powi(2)).sqrt()
    };
    Judged {
        class,
        moved: batch.motion_mm[index] > 0.0,
        quality: batch.quality[index],
        scores,
        off_mm: scores.gonads_mm.filter(|_| class < 2).map(off),
    }
}

impl Judged {
    /// The surest class and its probability.
    pub(crate) fn surest(&self) -> (usize, f64) {
        let Scores { female, male, infertile, dead, .. } = self.scores;
        let each = [female, male, infertile, dead].map(f64::from).into_iter().enumerate();
        each.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    }

    /// The call that a policy makes, of the image first and then of the scores.
    pub(crate) fn call(&self, policy: &Policy) -> Call {
        let Some(Quality { snr, motion, coverage, clipped, egg_ml }) = self.quality else {
            return Call::Undecided;
        };
        let quality = PbQuality { snr, motion, coverage, clipped, egg_ml };
        policy.judge_quality(&quality).unwrap_or_else(|| policy.decide(&wire(&self.scores))).call
    }

    fn is_living(&self) -> bool {
        self.class < 2
    }

    fn is_right(&self) -> bool {
        self.surest().0 == self.class
    }
}

fn wire(scores: &Scores) -> PbScores {
    let Scores { female, male, infertile, dead, strangeness, .. } = *scores;
    PbScores { female, male, infertile, dead, strangeness, gonads: None }
}

/// How sure the sex of a living egg must be so that `share` of the living ones in `judged` are withheld.
pub(crate) fn threshold(judged: &[Judged], share: f64) -> f32 {
    let sureness = |judged: &Judged| p_female(&wire(&judged.scores)).map(|p| p.max(1.0 - p));
    let mut sure: Vec<f32> = judged.iter().filter(|judged| judged.is_living()).filter_map(sureness).collect();
    sure.sort_by(f32::total_cmp);
    let at = (sure.len() as f64 * share) as usize;
    // Two digits: more would promise what the sample does not hold. A policy asks for more than a coin.
    sure.get(at).map_or(0.5, |sure| (sure * 100.0).round() / 100.0).clamp(0.5, 0.99)
}

/// Sums up.
pub(crate) fn figures(snr: f64, judged: &[Judged], policy: &Policy) -> Figures {
    let living: Vec<&Judged> = judged.iter().filter(|judged| judged.is_living()).collect();
    let right = |chosen: &dyn Fn(&Judged) -> bool| {
        Share::count(living.iter().filter(|judged| chosen(judged)).map(|judged| judged.is_right()))
    };
    let kind = |class: usize| class.max(1);
    let calls = living.iter().map(|judged| (judged.class, judged.call(policy)));
    let called: Vec<(usize, Call)> = calls.filter(|(_, call)| *call != Call::Undecided).collect();
    let right_call = [Call::Female, Call::Male];
    let mut off: Vec<f64> = living.iter().filter_map(|judged| judged.off_mm).collect();
    off.sort_by(f64::total_cmp);
    let quantile =
        |share: f64| off.get(((off.len() as f64 * share) as usize).min(off.len().saturating_sub(1))).copied();
    Figures {
        snr,
        eggs: [judged.len(), living.len()],
        sex_right: right(&|_| true),
        sex_right_still: right(&|judged| !judged.moved),
        sex_right_moving: right(&|judged| judged.moved),
        kind_right: Share::count(judged.iter().map(|judged| kind(judged.surest().0) == kind(judged.class))),
        withheld: Share { hits: living.len() - called.len(), of: living.len() },
        called_right: Share::count(called.iter().map(|(class, call)| right_call[*class] == *call)),
        strange: Share::count(judged.iter().map(|judged| judged.scores.strangeness > 1.0)),
        calibration_error: round(calibration_error(judged)),
        centre_mm: [0.5, 0.99].map(|share| round(quantile(share).unwrap_or(f64::NAN))),
        keeping_the_surest: keeping_the_surest(living),
    }
}

fn keeping_the_surest(mut living: Vec<&Judged>) -> Vec<f64> {
    living.sort_by(|a, b| b.surest().1.total_cmp(&a.surest().1));
    let kept = |withheld: f64| &living[..(living.len() as f64 * (1.0 - withheld)) as usize];
    WITHHELD
        .map(|withheld| round(Share::count(kept(withheld).iter().map(|judged| judged.is_right())).value()))
        .to_vec()
}

/// Mean distance between how sure the model was and how often it was right, over ten bins of sureness.
fn calibration_error(judged: &[Judged]) -> f64 {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for judged in judged {
        let sure = judged.surest().1;
        let bin = &mut bins[((sure * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1.0, bin.1 + sure, bin.2 + f64::from(u8::from(judged.is_right())));
    }
    bins.iter().map(|(_, sure, right)| (sure - right).abs()).sum::<f64>() / judged.len() as f64
}

fn round(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}
