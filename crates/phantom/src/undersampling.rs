//! Lines of k-space that a fast scan leaves out.

use rand::seq::SliceRandom;

use crate::draw::rng;

/// Share of the lines around ky = 0 that every scan takes: they hold most of the image.
const CENTRE: f64 = 0.125;

/// Which phase-encoding lines are acquired; the others stay zero, as in a scan that nobody reconstructs
/// with a model of what an image is. Left-out lines show as blur and as smears along y that look like noise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lines {
    /// Share of lines acquired, above 0 and below 1.
    pub(crate) share: f64,
    pub(crate) seed: u64,
}

impl Lines {
    /// Whether each of `rows` lines is acquired, in the order of an FFT: the centre, and of the others as
    /// many as the share asks for, drawn alike whatever their frequency.
    pub(crate) fn acquired(&self, rows: usize) -> Vec<bool> {
        let wanted = ((self.share * rows as f64).round() as usize).clamp(1, rows);
        let from_centre = |line: usize| line.min(rows - line);
        let mut order: Vec<usize> = (0..rows).collect();
        order.shuffle(&mut rng(self.seed));
        // Stable: what is not the centre keeps its random order.
        order.sort_by_key(|&line| {
            let distance = from_centre(line);
            if distance as f64 <= CENTRE / 2.0 * rows as f64 { distance } else { rows }
        });
        let mut acquired = vec![false; rows];
        order[..wanted].iter().for_each(|&line| acquired[line] = true);
        acquired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_and_the_centre_always_acquired() {
        for (share, wanted) in [(0.5, 32), (0.25, 16), (0.75, 48)] {
            for seed in 0..20 {
                let acquired = Lines { share, seed }.acquired(64);
                assert_eq!(acquired.iter().filter(|a| **a).count(), wanted);
                assert!((0..=4).all(|i| acquired[i] && acquired[(64 - i) % 64]), "seed {seed}");
            }
        }
    }

    #[test]
    fn other_seeds_leave_out_other_lines() {
        assert_ne!(Lines { share: 0.5, seed: 1 }.acquired(64), Lines { share: 0.5, seed: 2 }.acquired(64));
    }
}
