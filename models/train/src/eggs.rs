//! Which eggs there are: several profiles side by side, none of them shared between sets.

use ovomesh_phantom::{CleanScan, Grid, Library, Profile, Random, Shares, Truth, seed_of};
use std::num::NonZero;

/// What a set of eggs is for. Sets share no egg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To learn from, in one chapter of a training.
    Train(u64),
    /// To set temperatures, thresholds and quantiles with.
    Calibrate,
    /// To measure with, once.
    Test,
}

/// One kind of eggs and how many of them.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) profile: Profile,
    /// Share of each class.
    pub(crate) shares: Shares,
    pub(crate) count: usize,
}

/// Clean scans of several parts, numbered through.
pub(crate) struct Eggs {
    parts: Vec<Library>,
}

impl Eggs {
    /// Makes the eggs. The same seed gives the same eggs on every machine.
    pub(crate) fn make(
        purpose: Purpose,
        parts: &[Part],
        seed: u64,
        threads: NonZero<usize>,
        progress: impl Fn(usize) + Sync,
    ) -> Self {
        let seed = match purpose {
            Purpose::Train(chapter) => seed_of(seed_of(seed, 1), chapter),
            Purpose::Calibrate => seed_of(seed, 2),
            Purpose::Test => seed_of(seed, 3),
        };
        let mut before = 0;
        let mut made = Vec::new();
        for (part, index) in parts.iter().zip(0..) {
            let seed = seed_of(seed, index);
            let Part { profile, shares, count } = part;
            let so_far = |done| progress(before + done);
            made.push(Library::generate(profile, &Grid::STANDARD, *shares, *count, seed, threads, so_far));
            before += count;
        }
        Self { parts: made }
    }

    /// How many, all parts together.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(Library::len).sum()
    }

    /// What is true of an egg.
    pub(crate) fn truth(&self, index: usize) -> &Truth {
        let (part, index) = self.find(index);
        part.truth(index)
    }

    /// An egg as a scan without noise.
    pub(crate) fn clean(&self, index: usize) -> CleanScan {
        let (part, index) = self.find(index);
        CleanScan { samples: part.clean(index), grid: *part.grid(), truth: part.truth(index).clone() }
    }

    /// Scans an egg once.
    pub(crate) fn acquire(
        &self,
        index: usize,
        random: &mut Random,
        scanner: &ovomesh_phantom::Scanner,
        raw: &mut [u8],
    ) {
        let (part, index) = self.find(index);
        part.acquire(index, random, scanner, raw);
    }

    fn find(&self, mut index: usize) -> (&Library, usize) {
        for part in &self.parts {
            if index < part.len() {
                return (part, index);
            }
            index -= part.len();
        }
        panic!("there are only {} eggs", self.len());
    }
}

/// Shares of female, male, infertile and dead eggs to train on: more of the rare ones than a hatchery sees.
const TRAINING_SHARES: [f64; 4] = [0.43, 0.43, 0.06, 0.08];
/// Share of the embryos that move while they are learnt from and calibrated with: twice what is expected.
const TRAINING_MOTION: f64 = 0.3;

/// A group of eggs that is measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Nominal,
    Hard,
    /// As nominal, with gonads near life in size and contrast.
    Small,
    /// In any pose, and such gonads.
    HardSmall,
}

impl Group {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nominal => "nominal",
            Self::Hard => "hard",
            Self::Small => "small",
            Self::HardSmall => "hard, small",
        }
    }

    /// How its eggs vary.
    pub(crate) fn profile(self) -> Profile {
        match self {
            Self::Nominal => Profile::nominal(),
            Self::Hard => Profile::hard(),
            Self::Small => Profile::small(),
            Self::HardSmall => {
                let Profile { gonad_mm, gonad_contrast, .. } = Profile::small();
                Profile { gonad_mm, gonad_contrast, ..Profile::hard() }
            }
        }
    }
}

/// What is learnt from, or calibrated with: `count` eggs of all groups.
pub(crate) fn mixture(count: usize) -> Vec<Part> {
    let shares = Shares::new(TRAINING_SHARES).expect("they are constants above 0");
    let groups = [(Group::Hard, 0.45), (Group::Nominal, 0.3), (Group::HardSmall, 0.1), (Group::Small, 0.15)];
    let part = |(group, share): (Group, f64)| Part {
        profile: Profile { motion_share: TRAINING_MOTION, ..group.profile() },
        shares,
        count: (count as f64 * share).round() as usize,
    };
    groups.map(part).to_vec()
}
