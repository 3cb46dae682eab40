//! How good an image is, from the image alone.

use crate::{
    grid::{SPACING_MM, Work},
    mask::Mask,
    sums::Sums,
};

/// Mean of a Rayleigh distribution over its sigma, sqrt(pi / 2): magnitudes of noise alone are distributed so
/// (Gudbjartsson and Patz 1995).
const RAYLEIGH_MEAN: f64 = 1.253_314_137_315_500_3;
/// No estimate goes beyond this SNR: images whose background was set to 0 have no noise to measure.
const MAX_SNR: f64 = 999.0;
/// Columns and rows belong to the egg's core where they have this share of the largest count. An ellipsoid is
/// cut there at 87 % of its semi-axis, so what lies outside both cores is at least 20 % of a semi-axis away
/// from it.
const CORE: f64 = 0.25;
/// Columns and rows hold no egg where they have less than this share of the largest count (99 % of the
/// semi-axis).
const EDGE: f64 = 0.02;
/// Rows beside the egg that its own blur may reach.
const MARGIN: usize = 2;
/// Fewest samples that tell a level: 64 give it within 7 %.
const ENOUGH: usize = 64;

/// Quality of an image; the fields are those of `ovomesh.scan.v1.Quality`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Mean of the egg over the standard deviation of the noise, 0 to 999. The noise is told from the image's
    /// corners, where neither egg nor ghosts are.
    pub snr: f32,
    /// Level beside the egg, along the direction with more of it, over the level in the corners (root mean
    /// squares): about 1 when nothing moved, 1 where there is no room to see it. Ghosts lie along the phase
    /// direction, which the volume does not state. It sees an egg that shakes; the small ghosts of an embryo
    /// that moves alone stay inside the egg, where this does not look.
    pub motion: f32,
    /// Share of the egg inside the image, 0 to 1: what an ellipsoid would lose that is cut where this one is.
    pub coverage: f32,
    /// Share of the egg's samples at the largest value of the volume, 0 to 1; one of them is always there and
    /// not counted.
    pub clipped: f32,
    /// Volume of the mask in millilitres.
    pub egg_ml: f32,
}

impl Quality {
    pub(crate) fn of(work: &Work, mask: &Mask) -> Self {
        let [dx, dy, dz] = SPACING_MM;
        let corners = corners(work, mask);
        let noise = corners.mean() / RAYLEIGH_MEAN;
        let snr = (mask.mean() / noise.max(f64::MIN_POSITIVE)).min(MAX_SNR);
        let beside = [0, 1].into_iter().filter_map(|axis| beside(work, mask, axis)).reduce(f64::max);
        let beside = beside.filter(|_| corners.mean_square() > 0.0);
        let motion = beside.map_or(1.0, |beside| (beside / corners.mean_square()).sqrt());
        let egg_share = mask.count.max(1) as f64 / work.samples.len() as f64;
        Self {
            snr: if mask.count == 0 { 0.0 } else { snr as f32 },
            motion: motion as f32,
            coverage: coverage(mask) as f32,
            clipped: (work.at_max / egg_share).min(1.0) as f32,
            egg_ml: (mask.count as f64 * dx * dy * dz / 1000.0) as f32,
        }
    }
}

/// Adds the parts of all lines that `rows` and `columns` pick.
fn level(
    work: &Work,
    rows: &(impl Iterator<Item = usize> + Clone),
    columns: &[std::ops::Range<usize>],
) -> Sums {
    let [width, height, slices] = work.dims;
    let mut level = Sums::default();
    for z in 0..slices {
        for y in rows.clone() {
            let line = &work.samples[(z * height + y) * width..][..width];
            for part in columns {
                level.add(&line[part.clone()]);
            }
        }
    }
    level
}

/// What lies outside the egg's core along x and along y: no ghost along either axis reaches it. When that is
/// nothing, the image's own corners: whatever is there then stands out from them or not.
fn corners(work: &Work, mask: &Mask) -> Sums {
    let [columns, rows, _] = work.dims;
    let outside = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
        level(work, &(0..y.start).chain(y.end..rows), &[0..x.start, x.end..columns])
    };
    let level = outside(mask.range(0, CORE), mask.range(1, CORE));
    if level.count >= ENOUGH {
        level
    } else {
        outside(columns / 8..columns - columns / 8, rows / 8..rows - rows / 8)
    }
}

/// Mean square level beside the egg along `axis` (0 x, 1 y) and level with its core along the other; nothing
/// without room.
fn beside(work: &Work, mask: &Mask, axis: usize) -> Option<f64> {
    let egg = mask.range(axis, EDGE);
    let core = mask.range(1 - axis, CORE);
    let (low, high) = (egg.start.saturating_sub(MARGIN), (egg.end + MARGIN).min(work.dims[axis]));
    let level = match axis {
        0 => level(work, &core, &[0..low, high..work.dims[0]]),
        _ => level(work, &(0..low).chain(high..work.dims[1]), &[core]),
    };
    (level.count >= ENOUGH).then(|| level.mean_square())
}

/// The share of an ellipsoid that is left when it is cut where the mask meets the image's faces. A section
/// through it at t semi-axes from the middle has the area 1 - t^2 of the largest one, and (2 + 3 t - t^3) / 4
/// of the volume lies on the side of the middle. Beyond the middle this sees no more than half of the loss.
fn coverage(mask: &Mask) -> f64 {
    let mut share = 1.0;
    for axis in 0..3 {
        let profile = &mask.profiles[axis];
        let peak = f64::from(mask.peak(axis).max(1));
        for face in [profile.first(), profile.last()] {
            let area = face.map_or(0.0, |&n| f64::from(n) / peak);
            let t = (1.0 - area).max(0.0).sqrt();
            share *= (2.0 + 3.0 * t - t.powi(3)) / 4.0;
        }
    }
    share
}
