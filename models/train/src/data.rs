//! Eggs with known truth, and batches of them as they arrive at the net.

use crate::net::INPUT;
use crate::prepare::Preparer;
use ovomesh_imaging::{Prepared, Quality};
use ovomesh_phantom::{Grid, Library, Profile, Scanner, Shares, Truth, rng, seed_of};
use rand::Rng;
use std::num::NonZero;
use std::ops::Range;
use tch::{Kind, Tensor};

/// Distance of the input's samples in millimetres along z, y, x: the grid that preprocessing gives.
pub(crate) const SPACING_MM: [f64; 3] = [2.8, 1.0, 1.0];

/// Shares of female, male, infertile and dead eggs to train on: more of the rare ones than a hatchery sees.
const TRAINING_SHARES: [f64; 4] = [0.44, 0.44, 0.06, 0.06];
/// Shares to measure on: enough of each class for a tight interval.
const MEASURING_SHARES: [f64; 4] = [0.4, 0.4, 0.1, 0.1];

/// What a set of eggs is for. Sets share no egg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To learn from.
    Train,
    /// To set temperatures, thresholds and quantiles with.
    Calibrate,
    /// To measure with, once.
    Test,
}

/// Inputs and what is true of them.
#[derive(Debug)]
pub(crate) struct Batch {
    /// u8 `[N, 16, 48, 48]`.
    pub(crate) input: Tensor,
    /// 0 female, 1 male, 2 infertile, 3 dead; i64 `[N]`.
    pub(crate) class: Tensor,
    /// Asymmetry of the gonads, `[N]`; 0 when not alive.
    pub(crate) asymmetry: Tensor,
    /// Left and right gonad as z, y, x in samples of the input, `[N, 2, 3]`; the middle when not alive.
    pub(crate) gonads: Tensor,
    /// Amplitude of motion in millimetres.
    pub(crate) motion_mm: Vec<f64>,
    /// How good the image is, or nothing where preprocessing says that it shows no egg.
    pub(crate) quality: Vec<Option<Quality>>,
}

/// How scans are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking {
    /// Signal to noise of the trunk: drawn log-uniformly from this range.
    pub(crate) snr: (f64, f64),
    /// Strength of the coil's field.
    pub(crate) bias: f64,
    /// Moves the input by up to this many samples along y and x, so that the net does not rely on exact centring.
    pub(crate) shift: i32,
}

impl Taking {
    /// One SNR, the default field, nothing moved.
    pub(crate) fn at(snr: f64) -> Self {
        Self { snr: (snr, snr), bias: Scanner::default().bias, shift: 0 }
    }
}

/// Makes `count` eggs of the nominal profile. The same seed gives the same eggs on every machine.
pub(crate) fn eggs(
    purpose: Purpose,
    count: usize,
    seed: u64,
    threads: NonZero<usize>,
    progress: impl Fn(usize) + Sync,
) -> Library {
    let (stream, shares) = match purpose {
        Purpose::Train => (1, TRAINING_SHARES),
        Purpose::Calibrate => (2, MEASURING_SHARES),
        Purpose::Test => (3, MEASURING_SHARES),
    };
    let shares = Shares::new(shares).expect("they are constants above 0");
    Library::generate(
        &Profile::nominal(),
        &Grid::STANDARD,
        shares,
        count,
        seed_of(seed, stream),
        threads,
        progress,
    )
}

/// Random eggs for one training step; the same `seed` and `step` give the same batch.
pub(crate) fn training_batch(eggs: &Library, size: usize, taking: &Taking, seed: u64, step: usize) -> Batch {
    let mut random = rng(seed_of(seed_of(seed, 4), step as u64));
    let chosen: Vec<usize> = (0..size).map(|_| random.random_range(0..eggs.len())).collect();
    take(eggs, chosen.into_iter(), taking, &mut random)
}

/// The eggs of a range in their order, scanned once.
pub(crate) fn measuring_batch(eggs: &Library, range: Range<usize>, taking: &Taking, seed: u64) -> Batch {
    let mut random = rng(seed_of(seed_of(seed, 5), range.start as u64));
    take(eggs, range, taking, &mut random)
}

fn take(
    eggs: &Library,
    chosen: impl ExactSizeIterator<Item = usize>,
    taking: &Taking,
    random: &mut impl Rng,
) -> Batch {
    let count = chosen.len();
    let mut preparer = Preparer::new(eggs.grid());
    let mut raw = vec![0; eggs.grid().bytes()];
    let mut samples = Vec::with_capacity(count * volume_bytes());
    let (mut classes, mut asymmetries, mut gonads) = (Vec::new(), Vec::new(), Vec::new());
    let (mut motion_mm, mut quality) = (Vec::new(), Vec::new());
    for index in chosen {
        let (low, high) = taking.snr;
        let snr = (low.ln() + (high.ln() - low.ln()) * random.random::<f64>()).exp();
        let scanner = Scanner { snr, bias: taking.bias, ..Scanner::default() };
        eggs.acquire(index, random, &scanner, &mut raw);
        let shift = [(); 2].map(|()| random.random_range(-taking.shift..=taking.shift));
        let prepared = preparer.prepare(&raw, shift);
        let truth = eggs.truth(index);
        gonads.extend(gonads_in_samples(truth, &prepared).map(|at| at as f32));
        classes.push(truth.class.index() as i64);
        asymmetries.push(truth.asymmetry as f32);
        motion_mm.push(truth.motion_mm);
        quality.push(prepared.not_an_egg.is_none().then_some(prepared.quality));
        samples.extend(prepared.samples);
    }
    let [z, y, x] = INPUT;
    let count = count as i64;
    Batch {
        input: Tensor::from_data_size(&samples, &[count, z, y, x], Kind::Uint8),
        class: Tensor::from_slice(&classes),
        asymmetry: Tensor::from_slice(&asymmetries),
        gonads: Tensor::from_slice(&gonads).reshape([count, 2, 3]),
        motion_mm,
        quality,
    }
}

/// Bytes of one input.
pub(crate) fn volume_bytes() -> usize {
    INPUT.iter().product::<i64>() as usize
}

/// z, y, x of the left and the right gonad.
fn gonads_in_samples(truth: &Truth, prepared: &Prepared) -> [f64; 6] {
    let [mz, my, mx] = INPUT.map(|samples| (samples - 1) as f64 / 2.0);
    let Some([left, right]) = truth.gonads_mm else { return [mz, my, mx, mz, my, mx] };
    let along = |gonad: [f64; 3], axis: usize| {
        (gonad[axis] - f64::from(prepared.origin_mm[axis])) / f64::from(prepared.step_mm[axis])
    };
    [along(left, 2), along(left, 1), along(left, 0), along(right, 2), along(right, 1), along(right, 0)]
}
