//! Asks a model about eggs with known truth, through the real preprocessing, and sums up under a policy.

use crate::data::{Batch, Taking, measuring_batch};
use crate::eggs::Eggs;
use crate::input::SPACING_MM;
use crate::share::Share;
use anyhow::Result;
use ovomesh_api::pb::scan::v1::{Call, Quality as PbQuality, Scores as PbScores};
use ovomesh_api::policy::{Policy, p_female};
use ovomesh_imaging::Quality;
use ovomesh_model::model::{Model, Scores};
use serde::{Deserialize, Serialize};
use tch::Kind;

/// Scans that go through the model at once: the largest batch that is served.
const BATCH: usize = 16;

/// One egg: what is true, and what the model said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// 0 female, 1 male, 2 infertile, 3 dead.
    pub(crate) class: usize,
    /// Amplitude of motion in millimetres.
    pub(crate) motion_mm: f64,
    /// Size of a living embryo, about 1.
    pub(crate) size: Option<f64>,
    /// How steeply a living embryo's left-right axis stands on the slices, 0 to 1.
    pub(crate) steepness: Option<f64>,
    /// How good the image is, or nothing where preprocessing says that it shows no egg.
    pub(crate) quality: Option<Quality>,
    /// What the model said.
    pub(crate) scores: Scores,
    /// Distance of the gonads' midpoint from the truth, of living eggs with a located one.
    pub(crate) off_mm: Option<f64>,
}

/// What a set of eggs says about a model under a policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// How many eggs, and how many of them with a living embryo.
    pub(crate) eggs: [usize; 2],
    /// Right, of all that were called FEMALE or MALE, whatever they were.
    pub(crate) called_right: Share,
    /// Living eggs that were called neither.
    pub(crate) undecided: Share,
    /// Infertile and dead eggs that were called FEMALE or MALE.
    pub(crate) not_living_given_a_sex: Share,
    /// Sex right, of all living eggs, nothing withheld; "no embryo" counts as wrong.
    pub(crate) sex_right: Share,
    /// The same of eggs that kept still, and that moved.
    pub(crate) sex_right_still: Share,
    pub(crate) sex_right_moving: Share,
    /// Living, infertile or dead right, of all eggs.
    pub(crate) kind_right: Share,
    /// Strangeness above 1.
    pub(crate) strange: Share,
    /// Expected calibration error of the surest class, ten bins.
    pub(crate) calibration_error: f64,
    /// Error of the gonads' midpoint in millimetres: median and 99 % quantile.
    pub(crate) centre_mm: [f64; 2],
}

/// Scans every egg once and asks the model.
pub(crate) fn judge(model: &Model, eggs: &Eggs, taking: &Taking, seed: u64) -> Result<Vec<Judged>> {
    let _no_grad = tch::no_grad_guard();
    let mut judged = Vec::with_capacity(eggs.len());
    for first in (0..eggs.len()).step_by(BATCH) {
        let batch = measuring_batch(eggs, first..(first + BATCH).min(eggs.len()), taking, seed);
        let scores = model.run(&batch.input, batch.quality.len())?;
        let truths = (first..).map(|index| eggs.truth(index));
        for ((index, scores), truth) in scores.into_iter().enumerate().zip(truths) {
            let steepness = truth.rotation.map(|axes| axes[2][1].abs());
            judged.push(Judged { size: truth.size, steepness, ..one(&batch, index, scores) });
        }
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
        motion_mm: batch.motion_mm[index],
        size: None,
        steepness: None,
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

    /// How sure the model is of the surer sex if the embryo lives, 0.5 to 1.
    pub(crate) fn sureness(&self) -> f64 {
        p_female(&wire(&self.scores)).map_or(0.5, |p| f64::from(p.max(1.0 - p)))
    }

    /// The call that a policy makes, of the image first and then of the scores.
    pub(crate) fn call(&self, policy: &Policy) -> Call {
        let Some(Quality { snr, motion, coverage, clipped, egg_ml }) = self.quality else {
            return Call::Undecided;
        };
        let quality = PbQuality { snr, motion, coverage, clipped, egg_ml };
        policy.judge_quality(&quality).unwrap_or_else(|| policy.decide(&wire(&self.scores), &quality)).to_pb()
    }

    pub(crate) fn is_living(&self) -> bool {
        self.class < 2
    }

    /// Whether the surer sex is the true one.
    fn is_sex_right(&self) -> bool {
        usize::from(self.scores.female <= self.scores.male) == self.class
    }

    /// Whether the surest class is the true one.
    fn is_right(&self) -> bool {
        self.surest().0 == self.class
    }

    fn is_right_call(&self, call: Call) -> bool {
        [Call::Female, Call::Male].get(self.class) == Some(&call)
    }
}

/// Whether a call is of a sex.
pub(crate) fn is_sex(call: Call) -> bool {
    matches!(call, Call::Female | Call::Male)
}

fn wire(scores: &Scores) -> PbScores {
    let Scores { female, male, infertile, dead, strangeness, .. } = *scores;
    PbScores { female, male, infertile, dead, strangeness, gonads: None }
}

pub(crate) fn figures(judged: &[Judged], policy: &Policy) -> Figures {
    let living: Vec<&Judged> = judged.iter().filter(|judged| judged.is_living()).collect();
    let right = |chosen: &dyn Fn(&Judged) -> bool| {
        Share::count(living.iter().filter(|judged| chosen(judged)).map(|judged| judged.is_right()))
    };
    let kind = |class: usize| class.max(1);
    let calls: Vec<(&Judged, Call)> = judged.iter().map(|judged| (judged, judged.call(policy))).collect();
    let of = |living: bool| calls.iter().filter(move |(judged, _)| judged.is_living() == living);
    let called = calls.iter().filter(|(_, call)| is_sex(*call));
    let mut off: Vec<f64> = living.iter().filter_map(|judged| judged.off_mm).collect();
    off.sort_by(f64::total_cmp);
    let quantile =
        |share: f64| off.get(((off.len() as f64 * share) as usize).min(off.len().saturating_sub(1))).copied();
    Figures {
        eggs: [judged.len(), living.len()],
        called_right: Share::count(called.map(|(judged, call)| judged.is_right_call(*call))),
        undecided: Share::count(of(true).map(|(_, call)| !is_sex(*call))),
        not_living_given_a_sex: Share::count(of(false).map(|(_, call)| is_sex(*call))),
        sex_right: right(&|_| true),
        sex_right_still: right(&|judged| judged.motion_mm == 0.0),
        sex_right_moving: right(&|judged| judged.motion_mm > 0.0),
        kind_right: Share::count(judged.iter().map(|judged| kind(judged.surest().0) == kind(judged.class))),
        strange: Share::count(judged.iter().map(|judged| judged.scores.strangeness > 1.0)),
        calibration_error: round(calibration_error(judged)),
        centre_mm: [0.5, 0.99].map(|share| round(quantile(share).unwrap_or(f64::NAN))),
    }
}

/// Of living eggs: the share withheld and the share right among the rest, from none withheld to a tenth.
pub(crate) fn abstention(judged: &[Judged]) -> Vec<(f64, f64)> {
    let mut living: Vec<&Judged> = judged.iter().filter(|judged| judged.is_living()).collect();
    living.sort_by(|a, b| b.sureness().total_cmp(&a.sureness()));
    let kept = |withheld: f64| &living[..(living.len() as f64 * (1.0 - withheld)) as usize];
    let right = |withheld: f64| Share::count(kept(withheld).iter().map(|judged| judged.is_right())).value();
    (0..=20).map(|step| f64::from(step) * 0.005).map(|withheld| (withheld, round(right(withheld)))).collect()
}

/// Of living eggs in ten bins of sureness from 0.5 to 1: mean sureness of the sex, share right, and how many.
pub(crate) fn reliability(judged: &[Judged]) -> Vec<(f64, f64, usize)> {
    let mut bins = [(0.0, 0.0, 0_usize); 10];
    for judged in judged.iter().filter(|judged| judged.is_living()) {
        let sure = judged.sureness();
        let bin = &mut bins[(((sure - 0.5) * 20.0) as usize).min(9)];
        *bin = (bin.0 + sure, bin.1 + f64::from(u8::from(judged.is_sex_right())), bin.2 + 1);
    }
    let full = bins.into_iter().filter(|(.., count)| *count > 0);
    full.map(|(sure, right, count)| (round(sure / count as f64), round(right / count as f64), count))
        .collect()
}

/// How many eggs of each class (female, male, infertile, dead) were called FEMALE, MALE, NO_EMBRYO, UNDECIDED.
pub(crate) fn confusion(judged: &[Judged], policy: &Policy) -> [[usize; 4]; 4] {
    let mut counts = [[0; 4]; 4];
    for judged in judged {
        let column = match judged.call(policy) {
            Call::Female => 0,
            Call::Male => 1,
            Call::NoEmbryo => 2,
            Call::Undecided | Call::Unspecified => 3,
        };
        if let Some(row) = counts.get_mut(judged.class) {
            row[column] += 1;
        }
    }
    counts
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
