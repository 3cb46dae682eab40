//! What is drawn at random, each from a stream of its own, so that one can be changed without the others.

use ovomesh_phantom::{rng, seed_of};
use rand::Rng;

/// A stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draws {
    /// The phantoms. Training draws its eggs from the streams 1 to 3 of its seed: the same seed here gives others.
    Eggs = 0,
    /// When scans arrive.
    Times = 11,
    /// The noise of each scan.
    Noise = 12,
}

impl Draws {
    /// Its seed in a run of this seed.
    pub(crate) fn seed(self, run: u64) -> u64 {
        seed_of(run, self as u64)
    }

    /// Its numbers in a run of this seed.
    pub(crate) fn random(self, run: u64) -> impl Rng {
        rng(self.seed(run))
    }
}
