//! Where the egg is: samples above a share of the bright tissue's level, and how they spread along the axes.

use crate::grid::Work;

/// The mask starts at this share of the bright level: between air and fluid for every tissue that fills an
/// egg.
const SHARE: f32 = 0.3;
/// Slices of the middle in which the bright level is looked for.
const MIDDLE: usize = 8;
/// The bright level is exceeded by this many samples (9.2 ml) of the middle slices, whatever the field of
/// view: the 90th percentile of 64 x 64 x 8.
const BRIGHTER: usize = 3277;
/// Bits of a sample that the first, coarse histogram distinguishes.
const COARSE_BITS: u32 = 10;
/// Histograms side by side: equal neighbours then do not wait for one another.
const LANES: usize = 4;

/// The level of bright tissue: that of the 90th percentile of the middle slices (exact, by two histograms).
pub(crate) fn bright_level(work: &Work) -> u16 {
    let samples = middle(work);
    let brighter = BRIGHTER.min(samples.len() - samples.len() * 9 / 10);
    let shift = (u16::BITS - work.max.leading_zeros()).saturating_sub(COARSE_BITS);
    let mut coarse = [[0u32; 1 << COARSE_BITS]; LANES];
    let (quads, rest) = samples.as_chunks::<LANES>();
    for quad in quads {
        for (table, &v) in coarse.iter_mut().zip(quad) {
            table[usize::from(v >> shift) & ((1 << COARSE_BITS) - 1)] += 1;
        }
    }
    for &v in rest {
        coarse[0][usize::from(v >> shift) & ((1 << COARSE_BITS) - 1)] += 1;
    }
    let count = |bin: usize| coarse.iter().map(|table| table[bin] as usize).sum::<usize>();
    let (bin, above) = descend(brighter, (0..1 << COARSE_BITS).rev().map(|bin| (bin, count(bin))));
    if shift == 0 {
        return bin as u16;
    }
    let mut fine = [0usize; 1 << (u16::BITS - COARSE_BITS)];
    let mask = (1 << shift) - 1;
    for &v in samples {
        if usize::from(v >> shift) == bin {
            fine[usize::from(v & mask)] += 1;
        }
    }
    let (low, _) = descend(brighter - above, (0..=usize::from(mask)).rev().map(|low| (low, fine[low])));
    ((bin << shift) | low) as u16
}

/// The first bin, from above, with more than `brighter` samples in it and above it; and the samples above it.
fn descend(brighter: usize, bins: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    let mut above = 0;
    for (bin, count) in bins {
        if above + count > brighter {
            return (bin, above);
        }
        above += count;
    }
    (0, above)
}

fn middle(work: &Work) -> &[u16] {
    let [columns, rows, slices] = work.dims;
    let plane = columns * rows;
    let first = slices.saturating_sub(MIDDLE) / 2;
    &work.samples[first * plane..(first + MIDDLE.min(slices)) * plane]
}

/// What lies above the threshold, counted along each axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    /// Samples per column, row and slice.
    pub(crate) profiles: [Vec<u32>; 3],
    /// All samples.
    pub(crate) count: usize,
    /// Sum of their values.
    pub(crate) sum: u64,
    /// What they are above.
    pub(crate) threshold: u16,
}

impl Mask {
    /// Finds what is brighter than [`SHARE`] of `bright`.
    pub(crate) fn find(&mut self, work: &Work, bright: u16) {
        let threshold = (SHARE * f32::from(bright)) as u16;
        let [columns, rows, slices] = work.dims;
        for (profile, n) in self.profiles.iter_mut().zip(work.dims) {
            profile.clear();
            profile.resize(n, 0);
        }
        (self.count, self.sum, self.threshold) = (0, 0, threshold);
        let [per_column, per_row, per_slice] = &mut self.profiles;
        // One slice at most: 128 rows fit a u8 and leave room in the vector registers.
        let mut in_slice = [0u8; Work::MAX_IN_PLANE];
        let in_slice = &mut in_slice[..columns];
        for (z, plane) in work.samples.chunks_exact(columns * rows).enumerate().take(slices) {
            in_slice.fill(0);
            for (line, per_row) in plane.chunks_exact(columns).zip(per_row.iter_mut()) {
                let (mut count, mut sum) = (0u32, 0u32);
                for (&v, counted) in line.iter().zip(in_slice.iter_mut()) {
                    let inside = v > threshold;
                    *counted += u8::from(inside);
                    count += u32::from(inside);
                    sum += if inside { u32::from(v) } else { 0 };
                }
                *per_row += count;
                per_slice[z] += count;
                self.sum += u64::from(sum);
            }
            self.count += per_slice[z] as usize;
            per_column.iter_mut().zip(in_slice.iter()).for_each(|(all, &one)| *all += u32::from(one));
        }
    }

    /// Mean value; 0 of an empty mask.
    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    /// Centroid in samples along one axis; 0 of an empty mask.
    pub(crate) fn centroid(&self, axis: usize) -> f32 {
        let moment: u64 = self.profiles[axis].iter().zip(0u64..).map(|(&n, i)| u64::from(n) * i).sum();
        moment as f32 / self.count.max(1) as f32
    }

    /// Variance in samples^2 along one axis.
    pub(crate) fn variance(&self, axis: usize) -> f64 {
        let centre = f64::from(self.centroid(axis));
        let square = |(i, &n): (usize, &u32)| f64::from(n) * (i as f64 - centre).powi(2);
        self.profiles[axis].iter().enumerate().map(square).sum::<f64>() / self.count.max(1) as f64
    }

    /// The range along one axis where the profile reaches this share of its peak. Empty for an empty mask.
    pub(crate) fn range(&self, axis: usize, share: f64) -> std::ops::Range<usize> {
        let profile = &self.profiles[axis];
        let least = (f64::from(self.peak(axis)) * share).max(1.0);
        let reaches = |&n: &u32| f64::from(n) >= least;
        let first = profile.iter().position(reaches).unwrap_or(0);
        first..profile.iter().rposition(reaches).map_or(first, |last| last + 1)
    }

    /// The largest count along one axis.
    pub(crate) fn peak(&self, axis: usize) -> u32 {
        self.profiles[axis].iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(dims: [usize; 3], samples: Vec<u16>) -> Work {
        let max = samples.iter().copied().max().unwrap_or(0);
        Work { dims, samples, max, ..Work::default() }
    }

    /// Pseudo-random samples up to `max`, many of them small as in an image.
    fn samples(n: usize, max: u32, mut state: u64) -> Vec<u16> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u32
        };
        (0..n)
            .map(
                |_| if next() % 3 == 0 { (next() % (max + 1)) as u16 } else { (next() % 40).min(max) as u16 },
            )
            .collect()
    }

    #[test]
    fn the_bright_level_is_the_one_of_sorting() {
        for (max, seed) in [(65_535, 1), (2_500, 2), (300, 3), (1, 4), (0, 5), (40_000, 6)] {
            let work = work([64, 64, 16], samples(65_536, max, seed));
            let mut sorted = work.samples[4 * 4096..12 * 4096].to_vec();
            sorted.sort_unstable();
            // torch's kthvalue(int(.9 * n)) counts from 1.
            assert_eq!(bright_level(&work), sorted[29_491 - 1], "max {max}");
        }
    }

    #[test]
    fn a_small_volume_has_a_bright_level_too() {
        let work = work([8, 8, 4], samples(256, 1000, 9));
        let mut sorted = work.samples.clone();
        sorted.sort_unstable();
        assert_eq!(bright_level(&work), sorted[230 - 1]);
    }

    #[test]
    fn a_box_is_measured_as_it_is() {
        let mut image = vec![10; 64 * 64 * 16];
        for z in 4..12 {
            for y in 20..40 {
                for x in 10..50 {
                    image[(z * 64 + y) * 64 + x] = 1000;
                }
            }
        }
        let mut mask = Mask::default();
        mask.find(&work([64, 64, 16], image), 1000);
        assert_eq!((mask.count, mask.sum), (8 * 20 * 40, 8 * 20 * 40 * 1000));
        assert_eq!([0, 1, 2].map(|axis| mask.range(axis, 0.5)), [10..50, 20..40, 4..12]);
        assert_eq!([0, 1, 2].map(|axis| mask.centroid(axis)), [29.5, 29.5, 7.5]);
        assert!((mask.variance(0) - (40.0f64 * 40.0 - 1.0) / 12.0).abs() < 1e-6);
    }
}
