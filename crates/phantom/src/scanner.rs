//! From a clean scan to what arrives: coil sensitivity, noise, receiver gain, 16 bits.

use rand::Rng as _;
use rand_distr::StandardNormal;

use crate::{
    draw::Random,
    field::Field,
    grid::Grid,
    noise::{Noise, RUN, UNITS},
    scan::CleanScan,
};

/// Signal of the embryo's trunk, to which `snr` refers.
pub const TRUNK_SIGNAL: f64 = 0.45;
/// Units of the output for a signal of 1, at the mean gain.
pub const NOMINAL_GAIN: f64 = 2000.0;

/// A scanner: how it spoils what it sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scanner {
    /// Signal of the trunk (0.45) over the noise's standard deviation in each of the two channels, per voxel
    /// of the grid at hand; above 0. About 30 for voxels of 2.8 mm3 in one second at 1.5 T (an assumption); 5
    /// to 10 at low field.
    pub snr: f64,
    /// Strength of the coil's field: the exponent of a random quadratic polynomial, peak to peak about +-
    /// this.
    pub bias: f64,
    /// Standard deviation of the log of the receiver's gain, from scan to scan.
    pub gain_sd: f64,
}

impl Default for Scanner {
    /// SNR 30, bias 0.25, gain within a factor of 1.35 for two scans of three.
    fn default() -> Self {
        Self { snr: 30.0, bias: 0.25, gain_sd: 0.3 }
    }
}

impl Scanner {
    /// The default scanner at another SNR.
    pub fn with_snr(snr: f64) -> Self {
        Self { snr, ..Self::default() }
    }

    /// Scans once: fresh field, noise and gain. The same generator state gives the same samples.
    pub fn acquire(&self, clean: &CleanScan, rng: &mut Random) -> Vec<u16> {
        let mut bytes = vec![0; clean.grid.bytes()];
        self.acquire_into(clean, rng, &mut bytes);
        bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
    }

    /// As [`Scanner::acquire`], into the bytes that go on the wire: u16, little endian.
    ///
    /// # Panics
    /// When `out` is not `clean.grid.bytes()` long.
    pub fn acquire_into(&self, clean: &CleanScan, rng: &mut Random, out: &mut [u8]) {
        self.expose(&clean.samples, 1.0, &clean.grid, rng, out);
    }

    /// Scans samples whose signal is `sample * scale`.
    pub(crate) fn expose<S: Sample>(
        &self,
        samples: &[S],
        scale: f32,
        grid: &Grid,
        rng: &mut Random,
        out: &mut [u8],
    ) {
        assert_eq!(out.len(), grid.bytes(), "a scan of {grid:?} needs a buffer of its size");
        let gain = NOMINAL_GAIN * (self.gain_sd * rng.sample::<f64, _>(StandardNormal)).exp();
        let noise = ((TRUNK_SIGNAL / self.snr) * gain) as f32 / UNITS;
        let field = Field::draw(self.bias, grid, rng);
        let table = Noise::shared();
        let columns = grid.columns;
        let lines_a_run = (RUN / columns).max(1);
        let run = lines_a_run * columns;
        let mut factors = vec![0.0; columns];
        for (r, (samples, out)) in samples.chunks(run).zip(out.chunks_mut(2 * run)).enumerate() {
            let (real, imaginary) = (table.run(samples.len(), rng), table.run(samples.len(), rng));
            for (l, samples) in samples.chunks_exact(columns).enumerate() {
                let line = r * lines_a_run + l;
                field.along_line(line / grid.rows, line % grid.rows, scale * gain as f32, &mut factors);
                let at = l * columns..(l + 1) * columns;
                let noises = real[at.clone()].iter().zip(&imaginary[at]);
                let (out, _) = out[2 * l * columns..2 * (l + 1) * columns].as_chunks_mut::<2>();
                for ((out, (&sample, &factor)), (&a, &b)) in
                    out.iter_mut().zip(samples.iter().zip(&factors)).zip(noises)
                {
                    let a = sample.value() * factor + f32::from(a) * noise;
                    let b = f32::from(b) * noise;
                    *out = to_u16((a * a + b * b).sqrt()).to_le_bytes();
                }
            }
        }
    }
}

/// Rounds 0 or more to the nearest u16. Adding 2^23 leaves the integer in the low bits; unlike a cast this is
/// one instruction for many samples on every processor.
#[inline]
fn to_u16(value: f32) -> u16 {
    const INTEGERS: f32 = 8_388_608.0;
    (value.min(65_535.0) + INTEGERS).to_bits() as u16
}

/// How a clean sample is stored.
pub(crate) trait Sample: Copy {
    fn value(self) -> f32;
}

impl Sample for f32 {
    #[inline]
    fn value(self) -> f32 {
        self
    }
}

impl Sample for u16 {
    #[inline]
    fn value(self) -> f32 {
        f32::from(self)
    }
}
