//! Does the embryo move inside an egg that keeps still?
//!
//! Its ghosts lie within some 6 mm of it along the phase direction, inside the egg, where nothing is dark. What
//! is left to see is that fine detail along the phase direction (y here, as a phantom's) grows weaker against
//! detail along x, and that the quiet parts of the egg are less quiet. So the energy of small differences is
//! taken in blocks all over the egg's core, at two scales, in units of the noise; how these energies are
//! spread, and at which SNR, is judged by a net of one hidden layer that was fitted to phantoms ([`weights`]).
//!
//! Measured on phantoms that it was not fitted to (`tests/motion.rs`): see [`Quality`](crate::Quality).

#[cfg(test)]
mod fit;
#[allow(clippy::approx_constant, reason = "what looks like a constant is chance")]
mod weights;

use self::weights::{HIDDEN, OUT};
use crate::{grid::Work, mask::Mask, sums::Sums};

/// Differences at each scale: first ones along x and y, second ones along x and y, and a mixed one.
const KINDS: usize = 5;
/// Scales: samples, and means of 2 x 2 of them.
const SCALES: usize = 2;
const FILTERS: usize = KINDS * SCALES;
/// What noise of variance 1 becomes: sums of squares of the coefficients, and of the four samples of a mean
/// (which is left as their sum).
const GAINS: [f32; FILTERS] = [2.0, 2.0, 6.0, 6.0, 4.0, 8.0, 8.0, 24.0, 24.0, 16.0];
/// Shares of the blocks below which the energies are looked at.
const SHARES: [f32; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];
/// Logarithms of energies: for each filter the mean, then for each filter one for each share.
const ENERGIES: usize = FILTERS * (1 + SHARES.len());
/// The energies and the SNR.
const FEATURES: usize = ENERGIES + 1;
/// Hidden units of the net. Twice as many are no better.
const UNITS: usize = 16;
/// The core of the egg, in its semi-axes: its shell, and ghosts of it, lie outside.
const CORE: f64 = 0.8;
/// Samples of a block along x and y.
const BLOCK: usize = 4;
/// Fewest blocks that say something; an egg has some 600.
const ENOUGH: u32 = 64;
/// Energies below this, in units of the noise, are none: with less a block would not be one of noise.
const LEAST: f32 = 0.0625;
/// Bins of an energy's logarithm: eight an octave from [`LEAST`] on.
const BINS: usize = 256;
const PER_OCTAVE: u32 = 8;
/// The exponents of [`BINS`], as the bits of an f32 have them.
const FIRST_BIN: u32 = LEAST.to_bits() >> (23 - PER_OCTAVE.ilog2());
/// The SNR that the weights were fitted for, as the logarithm of its ratio to the middle of 27: 11 to 80.
const SNR: f32 = 27.0;
const SNR_OFF: f32 = 1.08;
/// Logarithms of the least and the largest answer.
const LIMIT: f32 = 3.5;

/// Buffers that are worth keeping.
#[derive(Clone, Debug)]
pub(crate) struct Motion {
    /// Energies of a row of blocks, for each kind.
    lines: [[f32; Work::MAX_IN_PLANE]; KINDS],
    histograms: [[u16; BINS]; FILTERS],
    /// A slice at each scale.
    planes: [Vec<f32>; SCALES],
}

impl Default for Motion {
    fn default() -> Self {
        let lines = [[0.0; Work::MAX_IN_PLANE]; KINDS];
        Self { lines, histograms: [[0; BINS]; FILTERS], planes: Default::default() }
    }
}

impl Motion {
    /// How much more likely it looks that something moves than in a usual egg that keeps still: about 1 (0.3
    /// to 3) when nothing moves, and 1 where motion cannot be estimated. `noise` is the background.
    pub(crate) fn inside(&mut self, work: &Work, mask: &Mask, noise: &Sums) -> f32 {
        // Resampled noise and detail are others than those that the weights know.
        let can_tell = noise.mean_square() > 0.0 && work.as_sent;
        let features = if can_tell { self.features(work, mask, noise) } else { None };
        features.map_or(1.0, |features| score(&features).clamp(-LIMIT, LIMIT).exp())
    }

    /// What the net judges; nothing of too small an egg, or too low or high an SNR.
    fn features(&mut self, work: &Work, mask: &Mask, noise: &Sums) -> Option<[f32; FEATURES]> {
        let variance = noise.mean_square() / 2.0;
        let snr = ((mask.mean() / variance.sqrt()) as f32 / SNR).ln();
        if snr.abs() > SNR_OFF {
            return None;
        }
        let mut features = [snr; FEATURES];
        features[..ENERGIES].copy_from_slice(&self.energies(work, mask, variance as f32)?);
        Some(features)
    }

    /// Logarithms of the energies, where noise alone has 0 on average.
    fn energies(&mut self, work: &Work, mask: &Mask, variance: f32) -> Option<[f32; ENERGIES]> {
        let [columns, rows, slices] = work.dims;
        let centre = [0, 1, 2].map(|axis| f64::from(mask.centroid(axis)));
        let axes = [0, 1, 2].map(|axis| CORE * (5.0 * mask.variance(axis)).sqrt().max(1.0));
        self.histograms.iter_mut().for_each(|histogram| histogram.fill(0));
        let (mut sums, mut blocks) = ([0.0; FILTERS], 0);
        for z in 0..slices {
            let in_slice = 1.0 - ((z as f64 - centre[2]) / axes[2]).powi(2);
            if in_slice <= 0.0 {
                continue;
            }
            self.take_slice(&work.samples[z * columns * rows..][..columns * rows], columns);
            for y in steps(centre[1], axes[1] * in_slice.sqrt(), rows) {
                let middle = y as f64 + (BLOCK as f64 - 1.0) / 2.0;
                let in_row = (in_slice - ((middle - centre[1]) / axes[1]).powi(2)).max(0.0);
                let along = steps(centre[0], axes[0] * in_row.sqrt(), columns);
                if let (Some(first), count @ 1..) = (along.clone().next(), along.count()) {
                    self.row_of_blocks([first, y], count, columns, variance, &mut sums);
                    blocks += count as u32;
                }
            }
        }
        if blocks < ENOUGH {
            return None;
        }
        let mut out = [0.0; ENERGIES];
        for (filter, (sum, histogram)) in sums.iter().zip(&self.histograms).enumerate() {
            out[filter] = (sum / blocks as f32).max(LEAST).ln();
            for (i, share) in SHARES.iter().enumerate() {
                out[FILTERS + filter * SHARES.len() + i] = quantile(histogram, share * blocks as f32);
            }
        }
        Some(out)
    }

    /// A slice as floats, at both scales.
    fn take_slice(&mut self, plane: &[u16], columns: usize) {
        let [fine, coarse] = &mut self.planes;
        fine.clear();
        fine.extend(plane.iter().map(|&v| f32::from(v)));
        coarse.clear();
        for pair in fine.chunks_exact(2 * columns) {
            let (a, b) = pair.split_at(columns);
            let squares = a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0);
            coarse.extend(squares.map(|(a, b)| a[0] + a[1] + b[0] + b[1]));
        }
    }

    /// Adds the energies of blocks side by side, the first at x and y, to their sums and histograms.
    fn row_of_blocks(
        &mut self,
        [x, y]: [usize; 2],
        count: usize,
        columns: usize,
        variance: f32,
        sums: &mut [f32; FILTERS],
    ) {
        for (scale, plane) in self.planes.iter().enumerate() {
            let block = BLOCK >> scale;
            let width = count * block;
            self.lines.iter_mut().for_each(|line| line[..width].fill(0.0));
            for row in 0..block {
                let at = [x >> scale, (y >> scale) + row];
                add_differences(plane, columns >> scale, at, width, &mut self.lines);
            }
            for (kind, line) in self.lines.iter().enumerate() {
                let filter = scale * KINDS + kind;
                let unit = 1.0 / (variance * GAINS[filter] * (block * block) as f32);
                let (line, histogram) = (&line[..width], &mut self.histograms[filter]);
                // The number of samples is a constant in each: a loop over them would cost more than the sums.
                sums[filter] += match scale {
                    0 => book::<BLOCK>(line, unit, histogram),
                    _ => book::<{ BLOCK / 2 }>(line, unit, histogram),
                };
            }
        }
    }
}

/// The net: what its units see beyond their thresholds, weighed. The last weight of each is its constant.
fn score(features: &[f32; FEATURES]) -> f32 {
    let sum = |weights: &[f32], values: &[f32], constant: f32| {
        weights.iter().zip(values).fold(constant, |sum, (weight, value)| sum + weight * value)
    };
    let units = HIDDEN.each_ref().map(|[weights @ .., constant]| sum(weights, features, *constant).max(0.0));
    let [weights @ .., constant] = &OUT;
    sum(weights, &units, *constant)
}

/// Books the energies of blocks of N sums each; returns their sum.
fn book<const N: usize>(line: &[f32], unit: f32, histogram: &mut [u16; BINS]) -> f32 {
    let mut sum = 0.0;
    for block in line.as_chunks::<N>().0 {
        let energy = block.iter().sum::<f32>() * unit;
        sum += energy;
        // The exponent and the first bits after it: a logarithm to base 2.
        let bin = (energy.max(LEAST).to_bits() >> (23 - PER_OCTAVE.ilog2())) - FIRST_BIN;
        histogram[(bin as usize).min(BINS - 1)] += 1;
    }
    sum
}

/// Where blocks start that lie within `half` of the centre, and at least two samples inside the image.
fn steps(centre: f64, half: f64, samples: usize) -> std::iter::StepBy<std::ops::Range<usize>> {
    let first = ((centre - half).ceil().max(2.0) as usize).next_multiple_of(2);
    let end = ((centre + half).floor().max(0.0) as usize + 1).min(samples.saturating_sub(3));
    (first..(end + 1).saturating_sub(BLOCK).max(first)).step_by(BLOCK)
}

/// Adds the squares of all differences along `width` samples from x and y on.
fn add_differences(
    plane: &[f32],
    columns: usize,
    [x, y]: [usize; 2],
    width: usize,
    out: &mut [[f32; Work::MAX_IN_PLANE]; KINDS],
) {
    let line = |row: usize, column: usize| &plane[(y + row - 1) * columns + x + column - 1..][..width];
    let (up, left, here, right) = (line(0, 1), line(1, 0), line(1, 1), line(1, 2));
    let (down, corner) = (line(2, 1), line(2, 2));
    let [a, b, c, d, e] = out.each_mut().map(|line| &mut line[..width]);
    for i in 0..width {
        let (dx, dy) = (right[i] - left[i], down[i] - up[i]);
        let dxx = left[i] + right[i] - 2.0 * here[i];
        let dyy = up[i] + down[i] - 2.0 * here[i];
        let dxy = here[i] + corner[i] - right[i] - down[i];
        a[i] += dx * dx;
        b[i] += dy * dy;
        c[i] += dxx * dxx;
        d[i] += dyy * dyy;
        e[i] += dxy * dxy;
    }
}

/// The natural logarithm of the energy below which `wanted` blocks lie.
fn quantile(histogram: &[u16; BINS], wanted: f32) -> f32 {
    let mut below = 0.0;
    for (bin, &count) in histogram.iter().enumerate() {
        let count = f32::from(count);
        if below + count > wanted {
            let octaves = (bin as f32 + (wanted - below) / count) / PER_OCTAVE as f32;
            return octaves * std::f32::consts::LN_2 + LEAST.ln();
        }
        below += count;
    }
    0.0
}
