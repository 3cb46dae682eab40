//! Resampling along the axes: the mean over the new sample's width where the old samples are finer, linear
//! interpolation where they are coarser.

use crate::volume::VolumeView;

/// The part that old samples have in one new sample.
#[derive(Clone, Debug)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The plan along one axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    identity: bool,
    len: usize,
    /// Position of the first new sample and distance of new samples, in old samples.
    first: f64,
    step: f64,
    taps: Vec<Taps>,
}

impl Axis {
    /// From `old` samples of `spacing` to samples of `target`, symmetric about the middle, at most `extent`
    /// wide. A spacing within `near` of the target (relatively) is kept.
    pub(crate) fn plan(old: usize, spacing: f64, target: f64, extent: f64, near: f64) -> Self {
        let step = target / spacing;
        if (step - 1.0).abs() <= near && old as f64 * spacing <= extent {
            return Self { identity: true, len: old, first: 0.0, step: 1.0, taps: Vec::new() };
        }
        let width = (old as f64 * spacing).min(extent);
        let len = ((width / target).round() as usize).max(1);
        let middle = (old as f64 - 1.0) / 2.0;
        let first = middle - step * (len as f64 - 1.0) / 2.0;
        let taps = (0..len).map(|i| Taps::at(first + step * i as f64, step, old)).collect();
        Self { identity: false, len, first, step, taps }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.identity
    }

    pub(crate) fn first(&self) -> f64 {
        self.first
    }

    pub(crate) fn step(&self) -> f64 {
        self.step
    }

    /// The taps of one new sample.
    fn taps(&self, i: usize) -> (usize, &[f32]) {
        const SAME: &[f32] = &[1.0];
        self.taps.get(i).map_or((i, SAME), |taps| (taps.first, &taps.weights))
    }

    /// The old samples that are used at all.
    fn used(&self, old: usize) -> std::ops::Range<usize> {
        match (self.taps.first(), self.taps.last()) {
            (Some(first), Some(last)) => first.first..last.first + last.weights.len(),
            _ => 0..old,
        }
    }
}

impl Taps {
    /// For a new sample at `centre`, `width` wide, in units of `old` samples.
    fn at(centre: f64, width: f64, old: usize) -> Self {
        let last = old as f64 - 1.0;
        let weights: Vec<(usize, f64)> = if width > 1.0 {
            // Old sample i covers i - 1/2 .. i + 1/2.
            let (low, high) = ((centre - width / 2.0).max(-0.5), (centre + width / 2.0).min(last + 0.5));
            let (from, to) = ((low + 0.5).floor().clamp(0.0, last), (high - 0.5).ceil().clamp(0.0, last));
            let covered = |i: usize| (high.min(i as f64 + 0.5) - low.max(i as f64 - 0.5)).max(0.0);
            (from as usize..=to as usize).map(|i| (i, covered(i))).collect()
        } else {
            let at = centre.clamp(0.0, last);
            let from = at.floor().min(last - 1.0).max(0.0);
            vec![(from as usize, 1.0 - (at - from)), (from as usize + 1, at - from)]
        };
        let sum: f64 = weights.iter().map(|(_, w)| w).sum();
        Self { first: weights[0].0, weights: weights.iter().map(|(_, w)| (w / sum) as f32).collect() }
    }
}

/// Buffers of one slice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resampler {
    plane: Vec<f32>,
    line: Vec<f32>,
}

impl Resampler {
    /// Appends the new samples to `out`. `reversed`: the old slices are taken from the last to the first.
    /// `offset` is added to every sample; what falls below 0 is 0.
    pub(crate) fn run(
        &mut self,
        volume: &VolumeView<'_>,
        axes: &[Axis; 3],
        reversed: bool,
        offset: i32,
        out: &mut Vec<u16>,
    ) {
        let [columns, rows, slices] = volume.header().dims;
        let [along_x, along_y, along_z] = axes;
        let used_rows = along_y.used(rows);
        for z in 0..along_z.len() {
            self.plane.clear();
            self.plane.resize(columns * rows, 0.0);
            let (first, weights) = along_z.taps(z);
            for (i, &weight) in weights.iter().enumerate() {
                let old = if reversed { slices - 1 - (first + i) } else { first + i };
                let part = used_rows.start * columns..used_rows.end * columns;
                let (samples, _) =
                    volume.samples()[2 * old * columns * rows..][..2 * columns * rows].as_chunks::<2>();
                for (sum, &b) in self.plane[part.clone()].iter_mut().zip(&samples[part]) {
                    *sum += weight * f32::from(u16::from_le_bytes(b));
                }
            }
            for y in 0..along_y.len() {
                self.line.clear();
                self.line.resize(columns, offset as f32);
                let (first, weights) = along_y.taps(y);
                for (row, &weight) in self.plane[first * columns..].chunks_exact(columns).zip(weights) {
                    self.line.iter_mut().zip(row).for_each(|(sum, v)| *sum += weight * v);
                }
                out.extend((0..along_x.len()).map(|x| {
                    let (first, weights) = along_x.taps(x);
                    let value: f32 = self.line[first..].iter().zip(weights).map(|(v, w)| v * w).sum();
                    (value + 0.5) as u16
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Header, Volume};

    fn resample(header: Header, samples: &[u16], target: [f64; 3]) -> ([usize; 3], Vec<u16>) {
        let volume = Volume::from_u16(header, samples).unwrap();
        let axes =
            [0, 1, 2].map(|i| Axis::plan(header.dims[i], header.spacing_mm[i], target[i], 1000.0, 0.005));
        let mut out = Vec::new();
        Resampler::default().run(&volume.view(), &axes, false, 0, &mut out);
        (axes.map(|a| a.len()), out)
    }

    #[test]
    fn a_finer_volume_is_averaged() {
        let header = Header::new([16, 16, 8], [0.5, 0.5, 1.4]);
        let samples: Vec<u16> = (0..header.len()).map(|i| if i % 2 == 0 { 100 } else { 300 }).collect();
        let (dims, out) = resample(header, &samples, [1.0, 1.0, 2.8]);
        assert_eq!(dims, [8, 8, 4]);
        assert!(out.iter().all(|&v| v == 200), "{out:?}");
    }

    #[test]
    fn a_ramp_stays_a_ramp_whatever_the_spacing() {
        for spacing in [0.4, 0.77, 1.3, 2.0] {
            let header = Header::new([60, 8, 4], [spacing, 1.0, 2.8]);
            let at = |x: usize| (1000.0 + 100.0 * (x as f64 - 29.5) * spacing) as u16;
            let samples: Vec<u16> = (0..header.len()).map(|i| at(i % 60).min(10_000)).collect();
            let (dims, out) = resample(header, &samples, [1.0, 1.0, 2.8]);
            let middle = (dims[0] as f64 - 1.0) / 2.0;
            // At its ends the ramp is cut off. A tenth of a millimetre is 10.
            for (x, &got) in out.iter().enumerate().take(dims[0] - 3).skip(3) {
                let expected = 1000.0 + 100.0 * (x as f64 - middle);
                if (200.0..9_800.0).contains(&expected) {
                    let off = f64::from(got) - expected;
                    assert!(off.abs() < 10.0, "spacing {spacing}, x {x}: {got} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn the_mean_of_a_volume_is_kept() {
        let header = Header::new([33, 20, 9], [0.7, 0.9, 1.1]);
        let samples: Vec<u16> = (0..header.len()).map(|i| 500 + (i * 7919 % 1000) as u16).collect();
        let (_, out) = resample(header, &samples, [1.0, 1.0, 2.8]);
        let mean = |v: &[u16]| v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
        assert!((mean(&out) - mean(&samples)).abs() < 15.0, "{} and {}", mean(&samples), mean(&out));
    }
}
