//! The working grid: every volume is brought to 1 x 1 x 2.8 mm, right-handed, with 0 for no signal.

use crate::{
    resample::{Axis, Resampler},
    volume::{Handedness, VolumeView},
};

/// Distance of samples along x, y and z: what the model was trained on.
pub const SPACING_MM: [f64; 3] = [1.0, 1.0, 2.8];
/// A spacing this near to the standard is taken as it is: over an egg it adds up to 0.3 mm.
const NEAR: f64 = 0.005;
/// Most that is looked at along each axis: the middle of larger fields of view. An egg is about 60 mm long.
const MAX_EXTENT_MM: f64 = 128.0;

/// A volume on the working grid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Samples along x, y and z.
    pub(crate) dims: [usize; 3],
    /// x fastest; 0 is no signal.
    pub(crate) samples: Vec<u16>,
    /// Whether the samples are those that were sent, not resampled.
    pub(crate) as_sent: bool,
    /// The largest sample.
    pub(crate) max: u16,
    /// Samples of the volume as sent that have its largest value, as a share of all.
    pub(crate) at_max: f64,
    /// Position of the first sample along the axes as sent, in millimetres from the first sample as sent.
    pub(crate) origin_mm: [f64; 3],
    /// Millimetres from sample to sample along the axes as sent: negative along z when the slices were
    /// reversed.
    pub(crate) step_mm: [f64; 3],
}

impl Work {
    /// Most samples along x and y.
    pub(crate) const MAX_IN_PLANE: usize = MAX_EXTENT_MM as usize;

    /// Brings `volume` to the working grid.
    pub(crate) fn load(&mut self, volume: &VolumeView<'_>, resampler: &mut Resampler) {
        let header = volume.header();
        let axes = [0, 1, 2]
            .map(|i| Axis::plan(header.dims[i], header.spacing_mm[i], SPACING_MM[i], MAX_EXTENT_MM, NEAR));
        self.dims = axes.each_ref().map(Axis::len);
        self.samples.clear();
        self.samples.reserve(self.dims.iter().product());
        let reversed = header.handedness == Handedness::Left;
        let offset = (header.intercept / header.slope).round().clamp(-65_536.0, 65_536.0) as i32;
        self.as_sent = axes.iter().all(Axis::is_identity);
        if self.as_sent {
            self.copy(volume, reversed, offset);
        } else {
            resampler.run(volume, &axes, reversed, offset, &mut self.samples);
        }
        self.max = largest(&self.samples);
        self.at_max = share_at_max(volume.samples());
        self.origin_mm = [0, 1, 2].map(|i| axes[i].first() * header.spacing_mm[i]);
        self.step_mm = [0, 1, 2].map(|i| axes[i].step() * header.spacing_mm[i]);
        if reversed {
            let last = (header.dims[2] - 1) as f64 * header.spacing_mm[2];
            self.origin_mm[2] = last - self.origin_mm[2];
            self.step_mm[2] = -self.step_mm[2];
        }
    }

    fn copy(&mut self, volume: &VolumeView<'_>, reversed: bool, offset: i32) {
        let [columns, rows, slices] = self.dims;
        for z in 0..slices {
            let z = if reversed { slices - 1 - z } else { z };
            let (plane, _) =
                volume.samples()[2 * z * columns * rows..][..2 * columns * rows].as_chunks::<2>();
            if offset == 0 {
                self.samples.extend(plane.iter().map(|&b| u16::from_le_bytes(b)));
            } else {
                let shifted =
                    |&b: &[u8; 2]| (i32::from(u16::from_le_bytes(b)) + offset).clamp(0, 65_535) as u16;
                self.samples.extend(plane.iter().map(shifted));
            }
        }
    }
}

fn largest(samples: &[u16]) -> u16 {
    samples.iter().fold(0, |a, &b| a.max(b))
}

/// The share of samples with the largest value, that one itself not counted.
fn share_at_max(samples: &[u8]) -> f64 {
    let (samples, _) = samples.as_chunks::<2>();
    let max = samples.iter().fold(0, |a, &b| u16::from_le_bytes(b).max(a));
    // A run of 256 cannot overflow the counters that fit a vector register.
    let count: u64 = samples
        .chunks(256)
        .map(|run| u64::from(run.iter().map(|&b| u16::from(u16::from_le_bytes(b) == max)).sum::<u16>()))
        .sum();
    count.saturating_sub(1) as f64 / samples.len() as f64
}
