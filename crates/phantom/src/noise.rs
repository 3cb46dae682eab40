//! Thermal noise from a table. Drawing normal numbers costs more than all the rest of a scan, so they are
//! drawn once, and each run of samples reads them from a place of its own.

use std::sync::OnceLock;

use rand::Rng as _;
use rand_distr::StandardNormal;

use crate::draw::{Random, rng};

/// Samples that share one random place in the table: one slice of 128 x 128.
pub(crate) const RUN: usize = 16_384;
/// Places to start from: 10^12 pairs of them, one for each channel.
const STARTS: usize = 1 << 20;
/// Units per standard deviation: normals up to +-8 fit an i16, steps of 1/4096 are far below the scanner's
/// own.
pub(crate) const UNITS: f32 = 4096.0;
/// The table is part of what a seed means, so it is always made from this one.
const SEED: u64 = 0x6e6f_6973_6521;

/// The table of normal numbers, in units of 1 / [`UNITS`] standard deviations (2 MiB).
pub(crate) struct Noise {
    normals: Vec<i16>,
}

impl Noise {
    /// The one table of this process; it takes some 10 ms to make, once.
    pub(crate) fn shared() -> &'static Self {
        static NOISE: OnceLock<Noise> = OnceLock::new();
        NOISE.get_or_init(|| {
            let mut rng = rng(SEED);
            let unit = |rng: &mut Random| (rng.sample::<f32, _>(StandardNormal) * UNITS).round() as i16;
            Self { normals: (0..STARTS + RUN).map(|_| unit(&mut rng)).collect() }
        })
    }

    /// `len` normals from a random place, at most [`RUN`].
    pub(crate) fn run(&self, len: usize, rng: &mut Random) -> &[i16] {
        let start = rng.random_range(0..STARTS as u32) as usize;
        &self.normals[start..start + len]
    }
}
