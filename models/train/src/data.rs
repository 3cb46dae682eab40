//! Batches of eggs with known truth, as they arrive at the net.

use crate::eggs::Eggs;
use crate::input::INPUT;
use crate::prepare::{Preparer, Step};
use ovomesh_imaging::{Prepared, Quality};
use ovomesh_phantom::{Grid, Random, Scanner, Truth, rng, seed_of};
use rand::Rng as _;
use std::ops::Range;
use tch::{Kind, Tensor};

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
    /// The embryo's axes (see [`crate::frame::Frame`]), `[N, 3, 3]`; the identity when not alive.
    pub(crate) axes: Tensor,
    /// Whether the image was mirrored, bool `[N]`.
    pub(crate) mirrored: Tensor,
    /// Amplitude of motion in millimetres.
    pub(crate) motion_mm: Vec<f64>,
    /// How good the image is, or nothing where preprocessing says that it shows no egg.
    pub(crate) quality: Vec<Option<Quality>>,
}

/// How scans are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking {
    /// Signal to noise of the trunk: drawn from this range.
    pub(crate) snr: (f64, f64),
    /// Strength of the coil's field.
    pub(crate) bias: f64,
    /// Moves the input by up to this many samples along y and x, so that the net does not rely on exact centring.
    pub(crate) shift: i32,
    /// Share of images that are mirrored; as many of the others are turned about x by half a turn, the only turn that
    /// leaves an egg as it lies.
    pub(crate) mirrored: Option<f64>,
    /// What the receiver's gain is multiplied by.
    pub(crate) gain: f32,
    /// A step of preprocessing that is left out.
    pub(crate) without: Option<Step>,
}

impl Taking {
    /// One SNR, the default field, nothing moved.
    pub(crate) fn at(snr: f64) -> Self {
        Self {
            snr: (snr, snr),
            bias: Scanner::default().bias,
            shift: 0,
            mirrored: None,
            gain: 1.0,
            without: None,
        }
    }
}

/// Random eggs for one training step; the same `seed` and `step` give the same batch.
pub(crate) fn training_batch(eggs: &Eggs, size: usize, taking: &Taking, seed: u64, step: usize) -> Batch {
    let mut random = rng(seed_of(seed_of(seed, 4), step as u64));
    let chosen: Vec<usize> = (0..size).map(|_| random.random_range(0..eggs.len())).collect();
    take(eggs, chosen.into_iter(), taking, &mut random)
}

/// The eggs of a range in their order, scanned once.
pub(crate) fn measuring_batch(eggs: &Eggs, range: Range<usize>, taking: &Taking, seed: u64) -> Batch {
    let mut random = rng(seed_of(seed_of(seed, 5), range.start as u64));
    take(eggs, range, taking, &mut random)
}

fn take(
    eggs: &Eggs,
    chosen: impl ExactSizeIterator<Item = usize>,
    taking: &Taking,
    random: &mut Random,
) -> Batch {
    let count = chosen.len();
    let grid = Grid::STANDARD;
    let mut preparer = Preparer::new(&grid, taking.without);
    let mut raw = vec![0; grid.bytes()];
    let mut samples = Vec::with_capacity(count * volume_bytes());
    let (mut classes, mut asymmetries, mut gonads) = (Vec::new(), Vec::new(), Vec::new());
    let (mut axes, mut mirrored) = (Vec::new(), Vec::new());
    let (mut motion_mm, mut quality) = (Vec::new(), Vec::new());
    for index in chosen {
        let (low, high) = taking.snr;
        // Good scans are more frequent: half of them are in the upper three tenths of the range in decibels.
        let snr = (low.ln() + (high.ln() - low.ln()) * random.random::<f64>().sqrt()).exp();
        let scanner = Scanner { snr, bias: taking.bias, ..Scanner::default() };
        eggs.acquire(index, random, &scanner, &mut raw);
        if taking.gain != 1.0 {
            amplify(&mut raw, taking.gain);
        }
        let shift = [(); 2].map(|()| random.random_range(-taking.shift..=taking.shift));
        let prepared = preparer.prepare(&raw, shift);
        let flips = Flips::draw(taking.mirrored, random);
        let truth = eggs.truth(index);
        gonads.extend(flips.places(gonads_in_samples(truth, &prepared)).map(|at| at as f32));
        axes.extend(flips.axes(truth).map(|at| at as f32));
        mirrored.push(flips.mirror());
        classes.push(truth.class.index() as i64);
        asymmetries.push(truth.asymmetry as f32);
        motion_mm.push(truth.motion_mm);
        quality.push(prepared.not_an_egg.is_none().then_some(prepared.quality));
        flips.extend(&mut samples, &prepared.samples);
    }
    let [z, y, x] = INPUT;
    let count = count as i64;
    Batch {
        input: Tensor::from_data_size(&samples, &[count, z, y, x], Kind::Uint8),
        class: Tensor::from_slice(&classes),
        asymmetry: Tensor::from_slice(&asymmetries),
        gonads: Tensor::from_slice(&gonads).reshape([count, 2, 3]),
        axes: Tensor::from_slice(&axes).reshape([count, 3, 3]),
        mirrored: Tensor::from_slice(&mirrored),
        motion_mm,
        quality,
    }
}

/// Multiplies samples; what is too large stays at the top.
fn amplify(raw: &mut [u8], gain: f32) {
    for bytes in raw.as_chunks_mut::<2>().0 {
        *bytes = ((f32::from(u16::from_le_bytes(*bytes)) * gain) as u16).to_le_bytes();
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

/// Slices reversed, rows reversed: both are half a turn about x, one alone is a mirror.
#[derive(Debug, Clone, Copy)]
struct Flips {
    slices: bool,
    rows: bool,
}

impl Flips {
    fn draw(mirrored: Option<f64>, random: &mut Random) -> Self {
        let Some(share) = mirrored else { return Self { slices: false, rows: false } };
        let slices = random.random::<bool>();
        Self { slices, rows: slices ^ (random.random::<f64>() < share) }
    }

    fn mirror(self) -> bool {
        self.slices ^ self.rows
    }

    /// z, y, x of several places.
    fn places(self, mut places: [f64; 6]) -> [f64; 6] {
        for (at, value) in places.iter_mut().enumerate() {
            if (at % 3 == 0 && self.slices) || (at % 3 == 1 && self.rows) {
                *value = (INPUT[at % 3] - 1) as f64 - *value;
            }
        }
        places
    }

    /// Rows z, y, x of columns head, side, belly.
    fn axes(self, truth: &Truth) -> [f64; 9] {
        let Some(rotation) = truth.rotation else { return [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0] };
        let signs = [1.0, if self.rows { -1.0 } else { 1.0 }, if self.slices { -1.0 } else { 1.0 }];
        let column = |axis: usize| [0, 1, 2].map(|row| rotation[row][axis] * signs[row]);
        let (head, belly) = (column(0), column(2));
        let side = [0, 1, 2]
            .map(|i| belly[(i + 1) % 3] * head[(i + 2) % 3] - belly[(i + 2) % 3] * head[(i + 1) % 3]);
        let row = |i: usize| [head[i], side[i], belly[i]];
        let [z, y, x] = [row(2), row(1), row(0)];
        [z[0], z[1], z[2], y[0], y[1], y[2], x[0], x[1], x[2]]
    }

    fn extend(self, into: &mut Vec<u8>, samples: &[u8]) {
        let [depth, rows, columns] = INPUT.map(|samples| samples as usize);
        for z in 0..depth {
            let z = if self.slices { depth - 1 - z } else { z };
            let slice = &samples[z * rows * columns..][..rows * columns];
            if self.rows {
                into.extend(slice.rchunks_exact(columns).flatten());
            } else {
                into.extend_from_slice(slice);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eggs::{Group, Part, Purpose};
    use ovomesh_phantom::Shares;
    use std::num::NonZero;

    fn females(count: usize) -> Eggs {
        let shares = Shares::new([1.0, 0.0, 0.0, 0.0]).expect("a share above 0");
        let part = Part { profile: Group::Hard.profile(), shares, count };
        Eggs::make(Purpose::Test, &[part], 1, NonZero::<usize>::MIN, |_| ())
    }

    #[test]
    fn a_flipped_image_shows_at_its_gonads_what_the_image_showed_there() {
        let eggs = females(6);
        let plain = measuring_batch(&eggs, 0..6, &Taking::at(60.0), 1);
        for share in [0.0, 1.0] {
            let flipped =
                measuring_batch(&eggs, 0..6, &Taking { mirrored: Some(share), ..Taking::at(60.0) }, 1);
            assert!(flipped.mirrored.eq(i64::from(share == 1.0)).all().int64_value(&[]) == 1);
            let bright = |batch: &Batch, egg: i64| {
                let at = batch.gonads.get(egg).get(0).round();
                let [z, y, x] = [0, 1, 2].map(|axis| at.double_value(&[axis]) as i64);
                batch.input.double_value(&[egg, z, y, x])
            };
            for egg in 0..6 {
                // Another scan with other noise of a few units, of another side of a sample.
                let (before, after) = (bright(&plain, egg), bright(&flipped, egg));
                assert!((before - after).abs() < 30.0, "egg {egg}: {before} and {after}");
            }
        }
    }

    #[test]
    fn axes_stay_right_handed_in_a_mirror() {
        let taking = Taking { mirrored: Some(0.5), ..Taking::at(30.0) };
        let axes = measuring_batch(&females(16), 0..16, &taking, 1).axes;
        assert!((axes.det() + 1.0).abs().max().double_value(&[]) < 1e-4);
    }

    #[test]
    fn gain_stops_at_the_top_of_the_range() {
        let mut raw = [100_u16, 40_000].map(u16::to_le_bytes).concat();
        amplify(&mut raw, 2.0);
        assert_eq!(raw, [200_u16, 65_535].map(u16::to_le_bytes).concat());
    }
}
