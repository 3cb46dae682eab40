//! How good an image is, from the image alone.

use crate::{
    grid::{SPACING_MM, Work},
    mask::Mask,
    motion::Motion,
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
/// The level beside an egg that keeps still is within this of the corners'.
const STILL_BESIDE: f64 = 1.03;
/// What each noise level beyond that counts: so much that a shaking egg reads more than still embryos do.
const SHAKING: f64 = 40.0;
/// Largest share of the mask that may be background for its mean to be corrected for that.
const MOST_BACKGROUND: f64 = 0.3;
/// Fewest samples that give a level: 64 give it within 7 %.
const ENOUGH: usize = 64;
/// Background of which a larger share is 0 is padded, when its mean square over its squared mean says so too.
const PADDED: f64 = 0.15;
const PADDED_RATIO: f64 = 1.45;
/// Of noise with a lower mean some samples are 0 by themselves.
const LEAST_NOISE: f64 = 4.0;

/// Quality of an image; the fields are those of `ovomesh.scan.v1.Quality`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Mean of the egg over the standard deviation of the noise, 0 to 999. The noise is estimated from the image's
    /// corners, where neither egg nor ghosts are.
    pub snr: f32,
    /// Signs of motion: about 1 (0.1 to 2.5 for 98 of 100 eggs) when nothing moved, 1 where it cannot be estimated. It
    /// is the sum of two figures.
    ///
    /// One is what an embryo does that moves alone, whose ghosts stay inside the egg. It takes y for the phase
    /// direction, which the volume does not state, and is 1 unless the samples are 1 x 1 x 2.8 mm as sent and
    /// `snr` is 11 to 80. The other is 40 for each noise level that lies beside the egg beyond 1.03, along the
    /// direction with more of it (root mean squares, over the level in the corners): ghosts of an egg that
    /// shakes.
    ///
    /// The chance that a moving embryo reads more than a living one that keeps still (AUC, phantoms that
    /// nothing was fitted to, SNR 30, nominal / hard profile): 0.66 / 0.60 for an amplitude of 0.2 to 0.35 mm,
    /// 0.74 / 0.72 from there to 0.5 mm, 0.86 / 0.83 to 0.8 mm, 0.96 / 0.93 to 1.5 mm; 0.93 / 0.90 from 0.5 mm
    /// on, 0.88 / 0.85 for any. With a tenth of the eggs infertile or dead, which are easier: 0.94 / 0.92 from
    /// 0.5 mm on, 0.89 / 0.87 for any; at SNR 15 0.85 / 0.80 and 0.81 / 0.77, at SNR 10 0.76 / 0.72 and
    /// 0.73 / 0.70. (`cargo test --release -p ovomesh-imaging --test motion -- --ignored --nocapture` prints them.)
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
    pub(crate) fn of(work: &Work, mask: &Mask, inside: &mut Motion) -> Self {
        let [dx, dy, dz] = SPACING_MM;
        let corners = corners(work, mask);
        let noise = corners.mean() / RAYLEIGH_MEAN;
        let snr = (egg_mean(work, mask, noise) / noise.max(f64::MIN_POSITIVE)).min(MAX_SNR);
        let beside = [0, 1].into_iter().filter_map(|axis| beside(work, mask, axis)).reduce(f64::max);
        let beside = beside.filter(|_| corners.mean_square() > 0.0);
        let beside = beside.map_or(1.0, |beside| (beside / corners.mean_square()).sqrt());
        let shaking = (SHAKING * (beside - STILL_BESIDE)).max(0.0);
        let motion = inside.inside(work, mask, &corners) + shaking as f32;
        let egg_share = mask.count.max(1) as f64 / work.samples.len() as f64;
        Self {
            snr: if mask.count == 0 { 0.0 } else { snr as f32 },
            motion,
            coverage: coverage(mask) as f32,
            clipped: (work.at_max / egg_share).min(1.0) as f32,
            egg_ml: (mask.count as f64 * dx * dy * dz / 1000.0) as f32,
        }
    }
}

/// Mean of the egg. Below an SNR of 8 some background lies above the mask's threshold t: a share exp(-t^2 / 2
/// sigma^2) of it, with a mean of t + sqrt(pi / 2) sigma erfcx(t / sqrt(2) sigma), as magnitudes of noise do.
/// That is taken off; erfcx(x) is 2 / sqrt(pi) / (x + sqrt(x^2 + 4 / pi)) within 5 %.
fn egg_mean(work: &Work, mask: &Mask, noise: f64) -> f64 {
    let (all, count) = (work.samples.len() as f64, mask.count as f64);
    let threshold = f64::from(mask.threshold);
    if noise <= 0.0 {
        return mask.mean();
    }
    let above = (-0.5 * (threshold / noise).powi(2)).exp();
    // Samples of background; those of the egg are all above.
    let background = (all - count) / (1.0 - above) * above;
    if background >= MOST_BACKGROUND * count || count == 0.0 {
        return mask.mean();
    }
    let x = threshold / (std::f64::consts::SQRT_2 * noise);
    let mean =
        threshold + std::f64::consts::SQRT_2 * noise / (x + (x * x + 4.0 / std::f64::consts::PI).sqrt());
    (mask.sum as f64 - background * mean) / (count - background)
}

/// Adds the parts of all lines that `rows` and `columns` pick, without samples that a scanner has set to 0 because they lie
/// outside of its field of view.
fn level(
    work: &Work,
    rows: &(impl Iterator<Item = usize> + Clone),
    columns: &[std::ops::Range<usize>],
) -> Sums {
    let all = sum(work, rows, columns, Sums::add);
    // The ratio is 4 / pi = 1.27 for noise, and larger by as much as zeros take away of the count.
    if all.mean_square() <= PADDED_RATIO * all.mean().powi(2) {
        return all;
    }
    let mut rest = Vec::new();
    let inside = sum(work, rows, columns, |sums, part| {
        rest.clear();
        rest.extend(part.iter().filter(|&&v| v > 0));
        sums.add(&rest);
    });
    let is_padded = (inside.count as f64) < (1.0 - PADDED) * all.count as f64;
    if is_padded && inside.count >= ENOUGH && inside.mean() >= LEAST_NOISE { inside } else { all }
}

fn sum(
    work: &Work,
    rows: &(impl Iterator<Item = usize> + Clone),
    columns: &[std::ops::Range<usize>],
    mut add: impl FnMut(&mut Sums, &[u16]),
) -> Sums {
    let [width, height, slices] = work.dims;
    let mut sums = Sums::default();
    for z in 0..slices {
        for y in rows.clone() {
            let line = &work.samples[(z * height + y) * width..][..width];
            for part in columns {
                add(&mut sums, &line[part.clone()]);
            }
        }
    }
    sums
}

/// What lies outside the egg's core along x and along y: no ghost along either axis reaches it. When that is
/// nothing, the image's own corners: whatever is there then stands out from them or not.
pub(crate) fn corners(work: &Work, mask: &Mask) -> Sums {
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
