//! All that the card says about a model: each figure from eggs of a seed that nothing was fitted to.

use crate::data::Taking;
use crate::eggs::{Eggs, Group, Part, Purpose};
use crate::evaluate::{Figures, Judged, abstention, confusion, figures, judge, reliability};
use crate::prepare::Step;
use crate::share::Share;
use anyhow::Result;
use ovomesh_api::policy::Policy;
use ovomesh_model::model::Model;
use ovomesh_phantom::{Grid, Observer, Profile, Shares};
use serde::{Deserialize, Serialize};
use std::num::NonZero;

/// What a scanner is expected to reach.
pub(crate) const NOMINAL_SNR: f64 = 30.0;
/// Seed of the eggs to measure with, whatever the seed of the training: figures of several trainings can be
/// compared, and no training has seen them.
pub(crate) const SEED: u64 = 0;
/// SNR that each group is measured at.
const SNR: [f64; 5] = [10.0, 15.0, 20.0, NOMINAL_SNR, 45.0];
/// Where all embryos move.
const MOVING_SNR: [f64; 2] = [NOMINAL_SNR, 12.0];
/// Gonads between life and the nominal profile: a factor on their lengths, and their contrast. The lengths of `small`
/// are 0.8 of the nominal ones; the last is near life.
const EFFECTS: [(f64, f64); 5] = [(1.0, 0.35), (0.8, 0.35), (0.8, 0.25), (0.7, 0.25), (0.58, 0.25)];
/// Eggs and scans of each for the limit, see [`Observer`].
const OBSERVED: (usize, usize) = (40, 400);
/// As few of them as that when few eggs are measured: some are enough to see that all steps run.
const FEW: (usize, usize) = (2, 20);

/// One set of eggs, scanned once at one SNR.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EggSet {
    pub(crate) eggs: String,
    /// Signal to noise of the trunk.
    pub(crate) snr: f64,
    pub(crate) figures: Figures,
    /// The best that anybody could do with these gonads at this SNR, nothing withheld.
    pub(crate) limit: Option<f64>,
}

/// Eggs of one kind among those of a set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Which eggs they are of.
    pub(crate) eggs: String,
    /// What they are chosen by.
    pub(crate) by: String,
    pub(crate) which: String,
    pub(crate) figures: Figures,
}

/// Gonads of one size and contrast at the nominal SNR, embryos that keep still.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// Semi-axes of a testis.
    pub(crate) gonad_mm: [f64; 3],
    /// Signal above the trunk's 0.45.
    pub(crate) contrast: f64,
    /// Distance of the sexes for the ideal observer, in standard deviations.
    pub(crate) d_prime: f64,
    /// Right of the living, nothing withheld.
    pub(crate) sex_right: Share,
    /// The ideal observer's share.
    pub(crate) limit: f64,
}

/// A set of eggs at one SNR, as curves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Curves {
    pub(crate) eggs: String,
    /// Signal to noise of the trunk.
    pub(crate) snr: f64,
    /// Share withheld and share right of the rest.
    pub(crate) abstention: Vec<(f64, f64)>,
    /// Mean sureness, share right, eggs.
    pub(crate) reliability: Vec<(f64, f64, usize)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Each set of eggs at each SNR.
    pub(crate) cases: Vec<EggSet>,
    /// Nominal and hard at the nominal SNR, of the bf16 file.
    pub(crate) bf16: Vec<EggSet>,
    /// How many nominal eggs of each class (rows) got which call, at the nominal SNR.
    pub(crate) confusion: [[usize; 4]; 4],
    /// By what may make a difference.
    pub(crate) slices: Vec<Slice>,
    /// By size and contrast of the gonads.
    pub(crate) effects: Vec<Effect>,
    pub(crate) curves: Vec<Curves>,
}

pub(crate) struct Meter<'a> {
    /// In 32-bit floats: what runs everywhere.
    pub(crate) fp32: &'a Model,
    /// What runs where the CPU has bfloat16.
    pub(crate) bf16: &'a Model,
    pub(crate) policy: &'a Policy,
    /// Eggs of each set.
    pub(crate) eggs: usize,
    pub(crate) threads: NonZero<usize>,
}

/// Hatchery's shares of a group's eggs, changed by `change`.
pub(crate) fn test_eggs(
    group: Group,
    count: usize,
    threads: NonZero<usize>,
    change: impl Fn(Profile) -> Profile,
) -> Eggs {
    let part = Part { profile: change(group.profile()), shares: Shares::HATCHERY, count };
    Eggs::make(Purpose::Test, &[part], SEED, threads, |_| ())
}

impl Meter<'_> {
    /// Everything; calls `done` with the name of each part.
    pub(crate) fn measure(&self, done: impl Fn(&str)) -> Result<Measured> {
        let mut all = Measured {
            cases: Vec::new(),
            bf16: Vec::new(),
            confusion: Default::default(),
            slices: Vec::new(),
            effects: Vec::new(),
            curves: Vec::new(),
        };
        for group in [Group::Nominal, Group::Hard, Group::Small] {
            let eggs = test_eggs(group, self.eggs, self.threads, |profile| profile);
            self.group(group, &eggs, &mut all)?;
            done(group.name());
        }
        let all_move = |profile| Profile { motion_share: 1.0, ..profile };
        let eggs = test_eggs(Group::Nominal, self.eggs, self.threads, all_move);
        for snr in MOVING_SNR {
            let judged = judge(self.fp32, &eggs, &Taking::at(snr), SEED)?;
            all.cases.push(self.egg_set("nominal, all moving", snr, &judged, None));
        }
        done("all moving");
        for (size, contrast) in EFFECTS {
            all.effects.push(self.effect(size, contrast)?);
        }
        done("sizes of gonads");
        Ok(all)
    }

    fn observed(&self) -> (usize, usize) {
        if self.eggs < 1000 { FEW } else { OBSERVED }
    }

    fn egg_set(&self, eggs: &str, snr: f64, judged: &[Judged], limit: Option<f64>) -> EggSet {
        EggSet { eggs: eggs.to_owned(), snr, figures: figures(judged, self.policy), limit }
    }

    fn group(&self, group: Group, eggs: &Eggs, all: &mut Measured) -> Result<()> {
        let name = group.name();
        let (observed, scans) = self.observed();
        let observer = Observer::new(&group.profile(), &Grid::STANDARD, observed, SEED);
        for snr in SNR {
            let judged = judge(self.fp32, eggs, &Taking::at(snr), SEED)?;
            let limit = observer.accuracy(snr, scans, SEED);
            all.cases.push(self.egg_set(name, snr, &judged, Some((limit * 1e4).round() / 1e4)));
            all.curves.push(Curves {
                eggs: name.to_owned(),
                snr,
                abstention: abstention(&judged),
                reliability: reliability(&judged),
            });
            if snr != NOMINAL_SNR {
                continue;
            }
            if group == Group::Nominal {
                all.confusion = confusion(&judged, self.policy);
            }
            if group != Group::Small {
                self.slices(group, eggs, &judged, &mut all.slices)?;
                let judged = judge(self.bf16, eggs, &Taking::at(snr), SEED)?;
                all.bf16.push(self.egg_set(name, snr, &judged, None));
            }
        }
        Ok(())
    }

    fn slices(&self, group: Group, eggs: &Eggs, judged: &[Judged], into: &mut Vec<Slice>) -> Result<()> {
        let mut add = |by: &str, which: &str, figures| {
            let [eggs, by, which] = [group.name(), by, which].map(str::to_owned);
            into.push(Slice { eggs, by, which, figures });
        };
        let some = |chosen: &dyn Fn(&Judged) -> bool| {
            let some: Vec<Judged> = judged.iter().filter(|judged| chosen(judged)).copied().collect();
            figures(&some, self.policy)
        };
        for (which, low, high) in
            [("below 0.96", 0.0, 0.96), ("0.96 to 1.04", 0.96, 1.04), ("above 1.04", 1.04, 9.0)]
        {
            add(
                "size of the embryo",
                which,
                some(&|egg| egg.size.is_some_and(|size| (low..high).contains(&size))),
            );
        }
        for (which, low, high) in [
            ("in the slices (below 30 degrees)", 0.0, 0.5),
            ("oblique", 0.5, 0.866),
            ("across the slices (above 60)", 0.866, 1.1),
        ] {
            let lies = |egg: &Judged| egg.steepness.is_some_and(|steepness| (low..high).contains(&steepness));
            let figures = some(&lies);
            if figures.eggs[1] > 0 {
                add("left-right axis", which, figures);
            }
        }
        for (which, low, high) in [
            ("none", 0.0, 1e-9),
            ("0.2 to 0.6 mm", 1e-9, 0.6),
            ("0.6 to 1 mm", 0.6, 1.0),
            ("1 to 1.5 mm", 1.0, 9.0),
        ] {
            add("motion", which, some(&|egg| egg.is_living() && (low..high).contains(&egg.motion_mm)));
        }
        for (which, gain) in [("a quarter of nominal", 0.25), ("four times nominal", 4.0)] {
            let taking = Taking { gain, ..Taking::at(NOMINAL_SNR) };
            add("scanner's gain", which, figures(&judge(self.fp32, eggs, &taking, SEED)?, self.policy));
        }
        Ok(())
    }

    fn effect(&self, size: f64, contrast: f64) -> Result<Effect> {
        let change = |profile: Profile| Profile {
            gonad_mm: profile.gonad_mm.map(|mm| mm * size),
            gonad_contrast: contrast,
            motion_share: 0.0,
            ..profile
        };
        let profile = change(Group::Nominal.profile());
        let eggs = test_eggs(Group::Nominal, self.eggs / 2, self.threads, change);
        let judged = judge(self.fp32, &eggs, &Taking::at(NOMINAL_SNR), SEED)?;
        let (observed, scans) = self.observed();
        let observer = Observer::new(&profile, &Grid::STANDARD, observed, SEED);
        let round = |x: f64| (x * 1e4).round() / 1e4;
        Ok(Effect {
            gonad_mm: profile.gonad_mm.map(round),
            contrast,
            d_prime: round(observer.d_prime(NOMINAL_SNR)),
            sex_right: figures(&judged, self.policy).sex_right,
            limit: round(observer.accuracy(NOMINAL_SNR, scans, SEED)),
        })
    }
}

impl Meter<'_> {
    /// Nominal, hard and small eggs at the nominal SNR: right of what was called, undecided, right with nothing withheld.
    pub(crate) fn short(&self, without: Option<Step>) -> Result<[[f64; 3]; 3]> {
        let taking = Taking { without, ..Taking::at(NOMINAL_SNR) };
        let mut all = [[0.0; 3]; 3];
        for (short, group) in all.iter_mut().zip([Group::Nominal, Group::Hard, Group::Small]) {
            let eggs = test_eggs(group, self.eggs, self.threads, |profile| profile);
            let figures = figures(&judge(self.fp32, &eggs, &taking, SEED)?, self.policy);
            *short = [figures.called_right, figures.undecided, figures.sex_right]
                .map(|share| (share.value() * 1e4).round() / 1e4);
        }
        Ok(all)
    }
}
