//! Chance, made from a seed: the same on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Random numbers for one phantom.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A seed for something with random numbers of its own.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.random()
    }

    /// Uniform between the two.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// Uniform in +-`limit`.
    pub(crate) fn within(&mut self, limit: f64) -> f64 {
        self.uniform(-limit, limit)
    }

    /// Normal, mean 0, standard deviation `sd`.
    pub(crate) fn normal(&mut self, sd: f64) -> f64 {
        sd * self.0.sample::<f64, _>(StandardNormal)
    }

    /// `1 + normal(sd)`, kept within three standard deviations and above 0.1, for factors of size and signal.
    pub(crate) fn factor(&mut self, sd: f64) -> f64 {
        (1.0 + self.normal(sd).clamp(-3.0 * sd, 3.0 * sd)).max(0.1)
    }

    /// True with probability `share`.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.0.random::<f64>() < share
    }

    /// An integer from `low` to `high`, both included.
    pub(crate) fn count(&mut self, low: u32, high: u32) -> u32 {
        self.0.random_range(low..=high)
    }
}

/// A seed for the `index`-th thing made from `seed`: neighbours share nothing (splitmix64, Steele et al.
/// 2014).
pub fn seed_of(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The generator of all that is random here: portable and fast. It is no parameter, so that the loops over samples are
/// compiled, and optimised, in this crate alone.
pub type Random = ChaCha8Rng;

/// A generator with this seed.
pub fn rng(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}
