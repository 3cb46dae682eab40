//! Clean scans, made once and kept: a scan costs milliseconds to make and a tenth of one to send with fresh
//! noise.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::{
    anatomy::Phantom,
    class::Class,
    draw::{Draw, Random, seed_of},
    grid::Grid,
    profile::Profile,
    render::Renderer,
    scan::Truth,
    scanner::Scanner,
};

/// Share of each class, in the order of [`Class`]. They need not add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    shares: [f64; 4],
}

/// Shares of which no class can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("class shares {0:?} (female, male, infertile, dead) must be 0 or more and add up to more than 0")]
pub struct BadShares([f64; 4]);

impl Shares {
    /// What a hatchery may see on day 12: 45 % female, 45 % male, 6 % infertile, 4 % dead.
    pub const HATCHERY: Self = Self { shares: [0.45, 0.45, 0.06, 0.04] };

    /// Shares of female, male, infertile and dead.
    pub fn new(shares: [f64; 4]) -> Result<Self, BadShares> {
        let sum: f64 = shares.iter().sum();
        let usable = shares.iter().all(|s| *s >= 0.0) && sum > 0.0 && sum.is_finite();
        usable.then_some(Self { shares }).ok_or(BadShares(shares))
    }

    /// The class that belongs to a seed.
    pub fn class_of(&self, seed: u64) -> Class {
        let sum: f64 = self.shares.iter().sum();
        let mut left = Draw::new(seed).uniform(0.0, sum);
        for (class, share) in Class::ALL.into_iter().zip(self.shares) {
            left -= share;
            if left < 0.0 {
                return class;
            }
        }
        // Rounding only: the last class that has a share.
        Class::ALL
            .into_iter()
            .zip(self.shares)
            .rev()
            .find(|(_, share)| *share > 0.0)
            .map_or(Class::Female, |(class, _)| class)
    }
}

/// Clean scans of one grid with their truth, 2 bytes a sample.
pub struct Library {
    grid: Grid,
    samples: Vec<u16>,
    /// Signal of one unit of the samples, for each scan.
    units: Vec<f32>,
    truths: Vec<Truth>,
}

impl Library {
    /// Makes `count` scans on `threads` threads. Scan i of a seed is the same whatever the count and the
    /// threads. `progress` receives how many are done, from any of the threads.
    ///
    /// # Panics
    /// When the grid breaks what its fields document.
    pub fn generate(
        profile: &Profile,
        grid: &Grid,
        shares: Shares,
        count: usize,
        seed: u64,
        threads: NonZero<usize>,
        progress: impl Fn(usize) + Sync,
    ) -> Self {
        grid.check();
        let size = grid.len();
        let mut samples = vec![0; count * size];
        let mut made: Vec<Option<(f32, Truth)>> = vec![None; count];
        let done = AtomicUsize::new(0);
        let work = Mutex::new(samples.chunks_exact_mut(size).zip(&mut made).enumerate());
        let worker = || {
            let mut renderer = Renderer::new(grid);
            loop {
                // The lock is held only to take the next scan; a panic elsewhere leaves the iterator whole.
                let next = work.lock().next();
                let Some((index, (out, made))) = next else { break };
                *made = Some(make(profile, shares, seed_of(seed, index as u64), &mut renderer, out));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.get() {
                scope.spawn(worker);
            }
            worker();
        });
        let (units, truths) = made.into_iter().flatten().unzip();
        Self { grid: *grid, samples, units, truths }
    }

    /// Number of scans.
    pub fn len(&self) -> usize {
        self.truths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.truths.is_empty()
    }

    /// The grid of all scans.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// What is true of the scan `index`.
    ///
    /// # Panics
    /// When there are fewer scans.
    pub fn truth(&self, index: usize) -> &Truth {
        &self.truths[index]
    }

    /// Scans the egg `index` once, with fresh noise, field and gain, into bytes: u16, little endian.
    ///
    /// # Panics
    /// When there are fewer scans, or `out` is not `grid().bytes()` long.
    pub fn acquire(&self, index: usize, rng: &mut Random, scanner: &Scanner, out: &mut [u8]) {
        let size = self.grid.len();
        scanner.expose(&self.samples[index * size..][..size], self.units[index], &self.grid, rng, out);
    }

    /// The clean magnitudes of the scan `index`, within 1/131,070 of its brightest sample.
    ///
    /// # Panics
    /// When there are fewer scans.
    pub fn clean(&self, index: usize) -> Vec<f32> {
        let size = self.grid.len();
        let unit = self.units[index];
        self.samples[index * size..][..size].iter().map(|&v| f32::from(v) * unit).collect()
    }
}

/// Makes one scan: its samples as u16, the signal of one unit, and its truth.
fn make(
    profile: &Profile,
    shares: Shares,
    seed: u64,
    renderer: &mut Renderer,
    out: &mut [u16],
) -> (f32, Truth) {
    // The class has a seed of its own, so that the same egg can be had as either sex.
    let class = shares.class_of(seed_of(seed, 0));
    let scan = renderer.render(&Phantom::new(profile, class, seed));
    let brightest = scan.samples.iter().fold(f32::MIN_POSITIVE, |a, &b| a.max(b));
    let unit = brightest / f32::from(u16::MAX);
    for (out, sample) in out.iter_mut().zip(&scan.samples) {
        *out = (sample / unit + 0.5) as u16;
    }
    (unit, scan.truth)
}
