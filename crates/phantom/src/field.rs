//! The field of the coil, its sensitivity: how strongly the scanner hears each place. One coil that surrounds
//! the egg; arrays are not modelled.

use rand::Rng as _;
use rand_distr::StandardNormal;

use crate::draw::Random;
use crate::grid::Grid;

/// Exp of a random quadratic polynomial of the position, each coordinate from -1 to 1 across the image. It is
/// a product of a function of (x, y), one of (x, z) and one of (y, z), so no sample needs an exponential of
/// its own.
pub(crate) struct Field {
    columns: usize,
    rows: usize,
    xy: Vec<f32>,
    xz: Vec<f32>,
    yz: Vec<f32>,
}

impl Field {
    /// A field whose exponent has coefficients of standard deviation `strength / 2` (squares and products:
    /// 0.7 of that).
    pub(crate) fn draw(strength: f64, grid: &Grid, rng: &mut Random) -> Self {
        let mut normal = || 0.5 * strength * rng.sample::<f64, _>(StandardNormal);
        let linear = [0; 3].map(|_| normal());
        let square = [0; 3].map(|_| 0.7 * normal());
        let [xy, xz, yz] = [0; 3].map(|_| 0.7 * normal());
        let axis = |i: usize, samples: usize| Axis::new(samples, linear[i], square[i]);
        let (x, y, z) = (axis(0, grid.columns), axis(1, grid.rows), axis(2, grid.slices));
        let flat = |axis: &Axis| Axis { at: axis.at.clone(), factor: vec![1.0; axis.at.len()] };
        Self {
            columns: grid.columns,
            rows: grid.rows,
            xy: outer(&y, &x, xy),
            xz: outer(&flat(&z), &flat(&x), xz),
            yz: outer(&z, &flat(&y), yz),
        }
    }

    /// Writes the field along one line of samples, times `scale`.
    pub(crate) fn along_line(&self, z: usize, y: usize, scale: f32, out: &mut [f32]) {
        let factor = self.yz[z * self.rows + y] * scale;
        let xy = &self.xy[y * self.columns..][..self.columns];
        let xz = &self.xz[z * self.columns..][..self.columns];
        for (out, (&xy, &xz)) in out.iter_mut().zip(xy.iter().zip(xz)) {
            *out = xy * xz * factor;
        }
    }
}

/// Positions along one axis, and the part of the field that depends on it alone.
struct Axis {
    at: Vec<f64>,
    factor: Vec<f64>,
}

impl Axis {
    fn new(samples: usize, linear: f64, square: f64) -> Self {
        let at: Vec<f64> = (0..samples).map(|i| -1.0 + 2.0 * i as f64 / (samples as f64 - 1.0)).collect();
        let factor = at.iter().map(|v| (linear * v + square * v * v).exp()).collect();
        Self { at, factor }
    }
}

/// `slow.factor * fast.factor * exp(cross * slow * fast)`: each line is the one before times a fixed ratio.
fn outer(slow: &Axis, fast: &Axis, cross: f64) -> Vec<f32> {
    let step = slow.at[1] - slow.at[0];
    let ratio: Vec<f64> = fast.at.iter().map(|b| (cross * step * b).exp()).collect();
    let mut line: Vec<f64> =
        fast.at.iter().zip(&fast.factor).map(|(b, f)| f * (cross * slow.at[0] * b).exp()).collect();
    let mut table = Vec::with_capacity(slow.at.len() * fast.at.len());
    for factor in &slow.factor {
        table.extend(line.iter().map(|v| (v * factor) as f32));
        line.iter_mut().zip(&ratio).for_each(|(v, r)| *v *= r);
    }
    table
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn the_field_is_the_exponential_of_a_quadratic_polynomial() {
        let grid = Grid::STANDARD;
        let field = Field::draw(0.5, &grid, &mut ChaCha8Rng::seed_from_u64(3));
        let mut line = vec![0.0; grid.columns];
        let mut log_at = |z: usize, y: usize, x: usize| {
            field.along_line(z, y, 1.0, &mut line);
            f64::from(line[x]).ln()
        };
        // Third differences of a quadratic polynomial are zero along every direction.
        let mut third = |step: [usize; 3]| {
            let at: Vec<f64> =
                (0..4).map(|i| log_at(1 + i * step[0], 3 + i * step[1], 5 + i * step[2])).collect();
            at[3] - 3.0 * at[2] + 3.0 * at[1] - at[0]
        };
        for step in [[0, 0, 12], [0, 15, 0], [4, 0, 0], [4, 15, 12], [3, 2, 17]] {
            assert!(third(step).abs() < 1e-4, "{step:?}: {}", third(step));
        }
    }

    #[test]
    fn without_strength_the_field_is_flat() {
        let field = Field::draw(0.0, &Grid::STANDARD, &mut ChaCha8Rng::seed_from_u64(3));
        let mut line = vec![0.0; 64];
        field.along_line(7, 9, 2.0, &mut line);
        assert!(line.iter().all(|&v| v == 2.0), "{line:?}");
    }
}
