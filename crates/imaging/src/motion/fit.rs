//! Fits the weights of the net to phantoms, and writes them as source: logistic loss, Adam, features standardised.

use std::{f64::consts::PI, fmt::Write as _, num::NonZero};

use ovomesh_phantom::{Grid, Library, Profile, Scanner, Shares, rng};
use rand::{Rng as _, seq::SliceRandom as _};

use super::{FEATURES, Motion, UNITS};
use crate::{
    Header, VolumeView,
    grid::Work,
    mask::{Mask, bright_level},
    quality::corners,
    resample::Resampler,
};

/// Eggs of each profile; half of the living ones move.
const EGGS: usize = 40_000;
/// Times that all of them are learnt from, this many at a time.
const ROUNDS: usize = 60;
const BATCH: usize = 256;
/// Adam's step at first (it falls to nothing along a cosine), and its memory of the gradient and of its square.
const RATE: f64 = 2e-3;
const MEMORY: [f64; 2] = [0.9, 0.999];
/// Shrinking of the weights.
const SHRINK: f64 = 1e-5;
/// What a usual egg that keeps still is off from another: the answer is 3 times as large or a third for one
/// in 20.
const SPREAD: f64 = 0.55;

#[test]
#[ignore = "a tool that takes five minutes: it writes weights.rs"]
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
    let net = Net::fit(&rows, &moves);
    let mut text = String::from(
        "//! Written by `cargo test -p ovomesh-imaging --lib motion::fit -- --ignored`: do not edit.\n\n\
         use super::{FEATURES, UNITS};\n\n\
         /// What each feature counts for each hidden unit, and its constant.\n#[rustfmt::skip]\n\
         pub(super) const HIDDEN: [[f32; FEATURES + 1]; UNITS] = [\n",
    );
    for unit in &net.hidden {
        writeln!(text, "    [").unwrap();
        write_lines(&mut text, "        ", unit);
        writeln!(text, "    ],").unwrap();
    }
    text += "];\n\n/// What each hidden unit counts, and the constant.\n#[rustfmt::skip]\n\
             pub(super) const OUT: [f32; UNITS + 1] = [\n";
    write_lines(&mut text, "    ", &net.out);
    text += "];\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/motion/weights.rs");
    std::fs::write(file, text).unwrap();
}

fn write_lines(text: &mut String, indent: &str, weights: &[f64]) {
    for line in weights.chunks(8) {
        let numbers: Vec<String> = line.iter().map(|w| format!("{w:.4}")).collect();
        writeln!(text, "{indent}{},", numbers.join(", ")).unwrap();
    }
}

/// The net of [`super::score`], or one number for each of its weights.
struct Net {
    hidden: [[f64; FEATURES + 1]; UNITS],
    out: [f64; UNITS + 1],
}

impl Net {
    const NONE: Self = Self { hidden: [[0.0; FEATURES + 1]; UNITS], out: [0.0; UNITS + 1] };

    /// Learns, and is then scaled so that its answer has median 0 and the given spread where nothing moves.
    fn fit(rows: &[[f64; FEATURES]], moves: &[bool]) -> Self {
        let n = rows.len() as f64;
        let mean: [f64; FEATURES] = std::array::from_fn(|i| rows.iter().map(|r| r[i]).sum::<f64>() / n);
        let square = |i: usize| rows.iter().map(|r| (r[i] - mean[i]).powi(2)).sum::<f64>() / n;
        let sd: [f64; FEATURES] = std::array::from_fn(|i| square(i).sqrt().max(1e-9));
        let standard: Vec<[f64; FEATURES]> =
            rows.iter().map(|row| std::array::from_fn(|i| (row[i] - mean[i]) / sd[i])).collect();

        let mut rng = rng(9);
        let mut net = Self::NONE;
        let mut draw = |inputs: usize| (rng.random::<f64>() - 0.5) * (12.0 / inputs as f64).sqrt();
        net.hidden.iter_mut().for_each(|unit| unit[..FEATURES].fill_with(|| draw(FEATURES)));
        net.out[..UNITS].fill_with(|| draw(UNITS));
        let (mut first, mut second) = (Self::NONE, Self::NONE);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let steps = ROUNDS * rows.len().div_ceil(BATCH);
        let mut step = 0;
        for _ in 0..ROUNDS {
            order.shuffle(&mut rng);
            for batch in order.chunks(BATCH) {
                let mut gradient = Self::NONE;
                batch.iter().for_each(|&i| gradient.add(&net, &standard[i], moves[i]));
                let rate = RATE * 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos());
                step += 1;
                let unbias = MEMORY.map(|memory| 1.0 - memory.powi(step));
                let moments = first.weights().zip(second.weights());
                for ((weight, gradient), (first, second)) in
                    net.weights().zip(gradient.weights()).zip(moments)
                {
                    let gradient = *gradient / batch.len() as f64 + SHRINK * *weight;
                    *first += (1.0 - MEMORY[0]) * (gradient - *first);
                    *second += (1.0 - MEMORY[1]) * (gradient * gradient - *second);
                    *weight -= rate * *first / unbias[0] / ((*second / unbias[1]).sqrt() + 1e-8);
                }
            }
        }

        let mut still: Vec<f64> = standard
            .iter()
            .zip(moves)
            .filter(|(_, moves)| !**moves)
            .map(|(row, _)| net.score(row).0)
            .collect();
        still.sort_by(f64::total_cmp);
        let at = |share: f64| still[(share * still.len() as f64) as usize];
        // 16 to 84 % is two standard deviations.
        let unit = 2.0 * SPREAD / (at(0.84) - at(0.16));
        net.out[UNITS] -= at(0.5);
        net.out.iter_mut().for_each(|weight| *weight *= unit);
        for unit in &mut net.hidden {
            for i in 0..FEATURES {
                unit[i] /= sd[i];
                unit[FEATURES] -= unit[i] * mean[i];
            }
        }
        net
    }

    /// The answer, and what the hidden units say.
    fn score(&self, row: &[f64; FEATURES]) -> (f64, [f64; UNITS]) {
        let units = self.hidden.each_ref().map(|unit| {
            let sum = unit.iter().zip(row).map(|(weight, value)| weight * value).sum::<f64>();
            (sum + unit[FEATURES]).max(0.0)
        });
        let sum = self.out.iter().zip(&units).map(|(weight, value)| weight * value).sum::<f64>();
        (sum + self.out[UNITS], units)
    }

    /// Adds the gradient of the loss of one egg.
    fn add(&mut self, net: &Self, row: &[f64; FEATURES], moves: bool) {
        let (score, units) = net.score(row);
        let off = 1.0 / (1.0 + (-score).exp()) - f64::from(u8::from(moves));
        self.out[UNITS] += off;
        for (i, value) in units.into_iter().enumerate().filter(|(_, value)| *value > 0.0) {
            self.out[i] += off * value;
            let off = off * net.out[i];
            self.hidden[i].iter_mut().zip(row).for_each(|(sum, value)| *sum += off * value);
            self.hidden[i][FEATURES] += off;
        }
    }

    fn weights(&mut self) -> impl Iterator<Item = &mut f64> {
        self.hidden.iter_mut().flatten().chain(&mut self.out)
    }
}
