//! Fits the weights of the discriminant to phantoms, and writes them as source. Least squares of +-1 with a
//! little shrinking, features standardised.

use std::{fmt::Write as _, num::NonZero};

use ovomesh_phantom::{Grid, Library, Profile, Scanner, Shares, rng};
use rand::Rng as _;

use super::{FEATURES, Motion};
use crate::{
    Header, VolumeView,
    grid::Work,
    mask::{Mask, bright_level},
    quality::corners,
    resample::Resampler,
};

/// Eggs of each profile; half of the living ones move.
const EGGS: usize = 20_000;
const SHRINK: f64 = 3e-5;
/// What a usual egg that keeps still is off from another: the answer is 3 times as large or a third for one
/// in 20.
const SPREAD: f64 = 0.55;

#[test]
#[ignore = "a tool that takes two minutes: it writes weights.rs"]
fn write_the_weights() {
    let (mut rows, mut moves) = (Vec::new(), Vec::new());
    for (seed, profile) in [Profile::nominal(), Profile::hard()].into_iter().enumerate() {
        let profile = Profile { motion_share: 0.5, ..profile };
        let shares = Shares::new([0.42, 0.42, 0.08, 0.08]).unwrap();
        let two = NonZero::new(2).unwrap();
        let eggs = Library::generate(&profile, &Grid::STANDARD, shares, EGGS, 77 + seed as u64, two, |_| {});
        let mut rng = rng(5);
        let mut bytes = vec![0; eggs.grid().bytes()];
        let (mut work, mut mask, mut resampler, mut motion): (Work, Mask, Resampler, Motion) =
            Default::default();
        for index in 0..eggs.len() {
            let snr = 10.0 * 6f64.powf(rng.random());
            eggs.acquire(index, &mut rng, &Scanner::with_snr(snr), &mut bytes);
            let header = Header::new([64, 64, 16], Grid::STANDARD.spacing_mm);
            work.load(&VolumeView::new(header, &bytes).unwrap(), &mut resampler);
            mask.find(&work, bright_level(&work));
            if let Some(features) = motion.features(&work, &mask, &corners(&work, &mask)) {
                rows.push(features.map(f64::from));
                moves.push(eggs.truth(index).motion_mm > 0.0);
            }
        }
    }
    let weights = fit(&rows, &moves);
    let mut text = String::new();
    for line in weights.chunks(8) {
        let numbers: Vec<String> = line.iter().map(|w| format!("{w:.4}")).collect();
        writeln!(text, "    {},", numbers.join(", ")).unwrap();
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/motion/weights.rs");
    let head = "//! Written by `cargo test -p ovomesh-imaging --lib motion::fit -- --ignored`: do not edit.\n\n\
                /// What each feature counts.\n#[rustfmt::skip]\n\
                #[allow(clippy::approx_constant)] // what looks like a constant is chance\n\
                pub(super) const WEIGHTS: [f32; super::FEATURES] = [\n";
    std::fs::write(file, format!("{head}{text}];\n")).unwrap();
}

/// The discriminant, scaled so that its logarithm has median 0 and the given spread where nothing moves.
fn fit(rows: &[[f64; FEATURES]], moves: &[bool]) -> Vec<f64> {
    const CONSTANT: usize = FEATURES - 1;
    let n = rows.len() as f64;
    let mean: Vec<f64> = (0..CONSTANT).map(|i| rows.iter().map(|r| r[i]).sum::<f64>() / n).collect();
    let square = |i: usize| rows.iter().map(|r| (r[i] - mean[i]).powi(2)).sum::<f64>() / n;
    let sd: Vec<f64> = (0..CONSTANT).map(|i| square(i).sqrt().max(1e-9)).collect();
    let mut normal = vec![vec![0.0; CONSTANT + 1]; CONSTANT];
    let share = moves.iter().filter(|m| **m).count() as f64 / n;
    for (row, &moves) in rows.iter().zip(moves) {
        let z: Vec<f64> = (0..CONSTANT).map(|i| (row[i] - mean[i]) / sd[i]).collect();
        let target = f64::from(u8::from(moves)) - share;
        for (i, line) in normal.iter_mut().enumerate() {
            line.iter_mut().zip(&z).for_each(|(sum, v)| *sum += z[i] * v);
            line[CONSTANT] += z[i] * target;
        }
    }
    normal.iter_mut().enumerate().for_each(|(i, line)| line[i] += SHRINK * n);
    let solved = solve(normal);
    let mut weights: Vec<f64> = solved.iter().zip(&sd).map(|(w, sd)| w / sd).collect();
    let score = |row: &[f64; FEATURES]| weights.iter().zip(row).map(|(w, v)| w * v).sum::<f64>();
    let mut still: Vec<f64> =
        rows.iter().zip(moves).filter(|(_, moves)| !**moves).map(|(row, _)| score(row)).collect();
    still.sort_by(f64::total_cmp);
    let at = |share: f64| still[(share * still.len() as f64) as usize];
    // 16 to 84 % is two standard deviations.
    let unit = 2.0 * SPREAD / (at(0.84) - at(0.16));
    let median = at(0.5);
    weights.iter_mut().for_each(|w| *w *= unit);
    weights.push(-median * unit);
    weights
}

/// Gaussian elimination of a positive definite system, the right side as its last column.
fn solve(mut m: Vec<Vec<f64>>) -> Vec<f64> {
    let n = m.len();
    for i in 0..n {
        let (done, below) = m.split_at_mut(i + 1);
        let pivot = &done[i];
        for line in below {
            let factor = line[i] / pivot[i];
            line[i..].iter_mut().zip(&pivot[i..]).for_each(|(v, p)| *v -= factor * p);
        }
    }
    let mut solution = vec![0.0; n];
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| m[i][j] * solution[j]).sum();
        solution[i] = (m[i][n] - rest) / m[i][i];
    }
    solution
}
