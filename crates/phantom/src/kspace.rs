//! What an MR scanner measures of ellipsoids: their spectrum, sampled on the grid of k-space. The image made
//! of it has exact partial volume and Gibbs ringing, unlike one that is painted voxel by voxel.

use std::f64::consts::TAU;

use rustfft::num_complex::Complex32;

use crate::{ball::Ball, geometry::Ellipsoid, grid::Grid};

/// Width of the Gaussian k-space filter, as a share of the sampling rate: within the slice plane a mild one,
/// across thick slices a slice profile (about 1.25 slices wide at half height).
const FILTER_IN_PLANE: f64 = 0.42;
const FILTER_ACROSS: f64 = 0.30;

/// The sampling positions of k-space along x (its half without negative frequencies), y and z.
pub(crate) struct KSpace {
    x: Axis,
    y: Axis,
    z: Axis,
    voxel_mm3: f64,
}

/// One axis of k-space.
struct Axis {
    /// Frequencies per millimetre.
    frequencies: Vec<f32>,
    /// Filter, and the shift that moves the isocentre from sample 0 to its place.
    factors: Vec<Complex32>,
}

impl Axis {
    /// All `samples` frequencies in the order of an FFT, or the `used` ones from 0 up.
    fn new(samples: usize, used: usize, spacing: f64, isocentre: f64, filter: f64) -> Self {
        let frequency = |i: usize| {
            let negative = used == samples && 2 * i >= samples;
            let i = if negative { i as f64 - samples as f64 } else { i as f64 };
            i / (samples as f64 * spacing)
        };
        let factor = |f: f64| {
            let size = (-0.5 * (f * spacing / filter).powi(2)).exp();
            let (sin, cos) = (-TAU * f * isocentre).sin_cos();
            Complex32::new((size * cos) as f32, (size * sin) as f32)
        };
        let frequencies: Vec<f64> = (0..used).map(frequency).collect();
        let factors = frequencies.iter().map(|&f| factor(f)).collect();
        Self { frequencies: frequencies.iter().map(|&f| f as f32).collect(), factors }
    }

    /// Writes the phase of a thing at `position` millimetres for each frequency.
    fn phases(&self, position: f64, out: &mut Vec<Complex32>) {
        out.clear();
        out.extend(self.frequencies.iter().map(|&f| {
            let (sin, cos) = (-TAU * f64::from(f) * position).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        }));
    }
}

impl KSpace {
    pub(crate) fn new(grid: &Grid) -> Self {
        let [dx, dy, dz] = grid.spacing_mm;
        let [cx, cy, cz] = grid.isocentre_mm();
        let across = if dz > 1.5 * dx { FILTER_ACROSS } else { FILTER_IN_PLANE };
        Self {
            x: Axis::new(grid.columns, grid.columns / 2 + 1, dx, cx, FILTER_IN_PLANE),
            y: Axis::new(grid.rows, grid.rows, dy, cy, FILTER_IN_PLANE),
            z: Axis::new(grid.slices, grid.slices, dz, cz, across),
            voxel_mm3: grid.voxel_mm3(),
        }
    }

    /// Samples along x: `columns / 2 + 1`.
    pub(crate) fn width(&self) -> usize {
        self.x.frequencies.len()
    }

    /// Frequencies per millimetre along y, in the order of an FFT.
    pub(crate) fn y_frequencies(&self) -> &[f32] {
        &self.y.frequencies
    }

    /// Adds the spectra of ellipsoids to `re` and `im`: z slowest, x fastest.
    pub(crate) fn add<'a>(
        &self,
        ellipsoids: impl Iterator<Item = &'a Ellipsoid>,
        re: &mut [f32],
        im: &mut [f32],
    ) {
        let (width, rows) = (self.width(), self.y.frequencies.len());
        let ball = Ball::shared();
        let (mut along_x, mut along_y, mut along_z) = (Vec::new(), Vec::new(), Vec::new());
        let mut line = vec![0.0; width];
        for ellipsoid in ellipsoids {
            let [px, py, pz] = ellipsoid.centre_mm;
            self.x.phases(px, &mut along_x);
            let (cos, sin): (Vec<f32>, Vec<f32>) = along_x.iter().map(|c| (c.re, c.im)).unzip();
            self.y.phases(py, &mut along_y);
            self.z.phases(pz, &mut along_z);
            let amplitude = (ellipsoid.signal * ellipsoid.volume_mm3() / self.voxel_mm3) as f32;
            // u^2 = (2 pi)^2 k^T A A^T k, in steps of the table.
            let m = ellipsoid.shape().map(|row| row.map(|v| (v * TAU * TAU * Ball::STEPS) as f32));
            for (z, (&kz, &phase_z)) in self.z.frequencies.iter().zip(&along_z).enumerate() {
                for (y, (&ky, &phase_y)) in self.y.frequencies.iter().zip(&along_y).enumerate() {
                    let phase = phase_z * phase_y * amplitude;
                    let q0 = m[1][1] * ky * ky + m[2][2] * kz * kz + 2.0 * m[1][2] * ky * kz;
                    let q1 = 2.0 * (m[0][1] * ky + m[0][2] * kz);
                    let q2 = m[0][0];
                    let at = (z * rows + y) * width;
                    // Two loops, so that the sums are done several samples at a time.
                    for (g, &kx) in line.iter_mut().zip(&self.x.frequencies) {
                        *g = ball.at((q0 + kx * (q1 + q2 * kx)).max(0.0));
                    }
                    let sums = re[at..at + width].iter_mut().zip(&mut im[at..at + width]);
                    for ((re, im), (&g, (&cos, &sin))) in sums.zip(line.iter().zip(cos.iter().zip(&sin))) {
                        *re += g * (phase.re * cos - phase.im * sin);
                        *im += g * (phase.re * sin + phase.im * cos);
                    }
                }
            }
        }
    }

    /// Applies filter and shift to a spectrum, as complex numbers.
    pub(crate) fn finish(&self, re: &[f32], im: &[f32], out: &mut [Complex32]) {
        let lines = out
            .chunks_exact_mut(self.width())
            .zip(re.chunks_exact(self.width()).zip(im.chunks_exact(self.width())));
        let rows = self.y.factors.len();
        for (i, (out, (re, im))) in lines.enumerate() {
            let factor = self.z.factors[i / rows] * self.y.factors[i % rows];
            for ((out, &fx), (&re, &im)) in out.iter_mut().zip(&self.x.factors).zip(re.iter().zip(im)) {
                *out = Complex32::new(re, im) * (factor * fx);
            }
        }
    }
}
