//! Sums of samples and of their squares.

/// Sums held side by side, so that several samples are added at a time.
const LANES: usize = 8;
/// Longest run whose sums stay exact enough: each lane of f32 then adds up 32 squares, within 2e-6.
const RUN: usize = 32 * LANES;

/// The sum of samples, and of their squares.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) count: usize,
    pub(crate) sum: u64,
    pub(crate) squares: f64,
}

impl Sums {
    pub(crate) fn add(&mut self, samples: &[u16]) {
        self.count += samples.len();
        for run in samples.chunks(RUN) {
            let (mut sums, mut squares) = ([0u32; LANES], [0f32; LANES]);
            let (chunks, rest) = run.as_chunks::<LANES>();
            for chunk in chunks {
                for (i, &v) in chunk.iter().enumerate() {
                    sums[i] += u32::from(v);
                    squares[i] += f32::from(v) * f32::from(v);
                }
            }
            for &v in rest {
                sums[0] += u32::from(v);
                squares[0] += f32::from(v) * f32::from(v);
            }
            self.sum += sums.iter().map(|&s| u64::from(s)).sum::<u64>();
            self.squares += squares.iter().map(|&s| f64::from(s)).sum::<f64>();
        }
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    pub(crate) fn mean_square(&self) -> f64 {
        self.squares / self.count.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_adding_one_by_one() {
        for len in [0, 1, 7, 8, 48, 300, 10_000] {
            let samples: Vec<u16> = (0..len).map(|i| (i * 40_503 % 65_536) as u16).collect();
            let mut sums = Sums::default();
            sums.add(&samples);
            let squares: f64 = samples.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            assert_eq!((sums.count, sums.sum), (len, samples.iter().map(|&v| u64::from(v)).sum()));
            assert!(
                (sums.squares - squares).abs() <= 1e-6 * squares,
                "{len}: {} and {squares}",
                sums.squares
            );
        }
    }
}
