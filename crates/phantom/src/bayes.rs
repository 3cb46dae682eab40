//! The best that anybody can do: an observer who knows the egg, its embryo and where the gonads lie, all but
//! how their volume is shared between left and right, and the noise.
//!
//! The sex is decided by the likelihood ratio of the two priors on the asymmetry ([`Profile`]), which is the
//! most accurate decision there is for equally frequent sexes. Coil field, motion and undersampling are left
//! out, noise is Gaussian (magnitudes of tissue are, at an SNR of 5 and more), so real observers stay below.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::{
    anatomy::Phantom,
    class::Class,
    draw::{rng, seed_of},
    grid::Grid,
    profile::{Profile, Spread},
    render::Renderer,
    scanner::TRUNK_SIGNAL,
};

/// Asymmetries that the observer weighs, from the least to the largest that occur (4 standard deviations of
/// a male; nothing left of the right gonad).
const STEPS: usize = 34;
const RANGE: [f64; 2] = [-0.35, 0.97];
/// Samples that no gonad changes by more than this share of the largest change are skipped.
const NEGLIGIBLE: f32 = 1e-4;

/// The ideal observer of some eggs of a profile.
pub struct Observer {
    eggs: Vec<Egg>,
    /// Probability of each asymmetry in females and in males.
    priors: [[f64; STEPS]; 2],
}

/// What an asymmetry changes in one egg.
struct Egg {
    /// Scalar products of the gonads' images for each pair of asymmetries.
    products: [[f64; STEPS]; STEPS],
    /// The Cholesky factor of the products: what noise does to the observer's correlations.
    factor: [[f64; STEPS]; STEPS],
}

impl Observer {
    /// Prepares `eggs` eggs on a grid, some 15 ms each. 60 give an accuracy of 0.84 within 0.005, one of 0.99
    /// within 0.001.
    ///
    /// # Panics
    /// When the grid breaks what its fields document.
    pub fn new(profile: &Profile, grid: &Grid, eggs: usize, seed: u64) -> Self {
        let mut renderer = Renderer::new(grid);
        let eggs = (0..eggs).map(|i| Egg::new(profile, &mut renderer, seed_of(seed, i as u64))).collect();
        let priors = [profile.asymmetry_female, profile.asymmetry_male].map(prior);
        Self { eggs, priors }
    }

    /// How far the mean female and the mean male are apart, in standard deviations of the noise: the mean over
    /// the eggs. `snr` as in [`Scanner::snr`](crate::Scanner).
    pub fn d_prime(&self, snr: f64) -> f64 {
        let [female, male] = self.priors.map(|prior| likeliest(&prior));
        let apart = |egg: &Egg| {
            let p = &egg.products;
            (p[female][female] + p[male][male] - 2.0 * p[female][male]).max(0.0).sqrt()
        };
        self.eggs.iter().map(apart).sum::<f64>() / self.eggs.len() as f64 * snr / TRUNK_SIGNAL
    }

    /// The share of eggs, half of them female, whose sex the observer gets right at an SNR, from `scans` scans
    /// of each egg as either sex.
    pub fn accuracy(&self, snr: f64, scans: usize, seed: u64) -> f64 {
        let noise = TRUNK_SIGNAL / snr;
        let mut rng = rng(seed);
        let mut right = 0;
        for egg in &self.eggs {
            for sex in 0..2 {
                for _ in 0..scans {
                    let likelihoods = egg.scan(draw(&self.priors[sex], &mut rng), noise, &mut rng);
                    let of = |sex: usize| -> f64 {
                        likelihoods.iter().zip(&self.priors[sex]).map(|(l, p)| l * p).sum()
                    };
                    right += usize::from(of(sex) > of(1 - sex));
                }
            }
        }
        right as f64 / (2 * scans * self.eggs.len()) as f64
    }
}

impl Egg {
    fn new(profile: &Profile, renderer: &mut Renderer, seed: u64) -> Self {
        let images: Vec<Vec<f32>> = (0..STEPS)
            .map(|step| {
                let asymmetry_female = Spread { mean: asymmetry(step), sd: 0.0 };
                let egg = Phantom::new(&Profile { asymmetry_female, ..profile.clone() }, Class::Female, seed);
                // The gonads are the last two things drawn.
                renderer.still(egg.ellipsoids().iter().rev().take(2))
            })
            .collect();
        let largest = images.iter().flatten().fold(0.0, |a: f32, b| a.max(b.abs()));
        let changed: Vec<usize> = (0..images[0].len())
            .filter(|&i| images.iter().any(|image| image[i].abs() > NEGLIGIBLE * largest))
            .collect();
        let images: Vec<Vec<f64>> =
            images.iter().map(|image| changed.iter().map(|&i| f64::from(image[i])).collect()).collect();
        let mut products = [[0.0; STEPS]; STEPS];
        for i in 0..STEPS {
            for j in 0..=i {
                products[i][j] = images[i].iter().zip(&images[j]).map(|(a, b)| a * b).sum();
                products[j][i] = products[i][j];
            }
        }
        Self { products, factor: cholesky(&products) }
    }

    /// The likelihood of each asymmetry, up to a factor, after one scan of an egg with the asymmetry `truth`.
    fn scan(&self, truth: usize, noise: f64, rng: &mut ChaCha8Rng) -> [f64; STEPS] {
        let normals: [f64; STEPS] = std::array::from_fn(|_| rng.sample(StandardNormal));
        let logs: [f64; STEPS] = std::array::from_fn(|i| {
            let deviation: f64 = self.factor[i].iter().zip(&normals).map(|(f, n)| f * n).sum();
            let correlation = self.products[truth][i] + noise * deviation;
            (correlation - 0.5 * self.products[i][i]) / noise.powi(2)
        });
        let largest = logs.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        logs.map(|log| (log - largest).exp())
    }
}

/// The lower triangle L with L L^T = `m`, a little of the diagonal added so that rounding cannot make it
/// indefinite.
fn cholesky(m: &[[f64; STEPS]; STEPS]) -> [[f64; STEPS]; STEPS] {
    let ridge = 1e-9 * (0..STEPS).map(|i| m[i][i]).sum::<f64>();
    let mut l = [[0.0; STEPS]; STEPS];
    for i in 0..STEPS {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            l[i][j] = if i == j { (m[i][i] + ridge - known).sqrt() } else { (m[i][j] - known) / l[j][j] };
        }
    }
    l
}

fn asymmetry(step: usize) -> f64 {
    RANGE[0] + (RANGE[1] - RANGE[0]) * step as f64 / (STEPS - 1) as f64
}

/// Probability of each step under a normal distribution.
fn prior(spread: Spread) -> [f64; STEPS] {
    let density: [f64; STEPS] = std::array::from_fn(|step| {
        (-0.5 * ((asymmetry(step) - spread.mean) / spread.sd.max(1e-3)).powi(2)).exp()
    });
    let sum: f64 = density.iter().sum();
    density.map(|d| d / sum)
}

fn likeliest(prior: &[f64; STEPS]) -> usize {
    (0..STEPS).max_by(|&a, &b| prior[a].total_cmp(&prior[b])).unwrap_or(0)
}

fn draw(prior: &[f64; STEPS], rng: &mut ChaCha8Rng) -> usize {
    let mut left: f64 = rng.random();
    for (step, p) in prior.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return step;
        }
    }
    // Rounding only.
    STEPS - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any pose, as in the table that the expected numbers come from: another implementation (numpy), 60 eggs.
    fn observer(gonad_mm: [f64; 3], gonad_contrast: f64) -> Observer {
        Observer::new(&Profile { gonad_mm, gonad_contrast, ..Profile::hard() }, &Grid::STANDARD, 60, 1)
    }

    #[test]
    fn large_gonads_are_told_apart_but_for_a_few_at_low_snr() {
        let observer = observer([2.0, 1.0, 0.9], 0.35);
        let d = observer.d_prime(30.0);
        assert!((d / 14.6 - 1.0).abs() < 0.05, "{d}");
        for (snr, limit) in [(5.0, 0.872), (10.0, 0.982), (20.0, 0.999), (30.0, 1.0)] {
            let accuracy = observer.accuracy(snr, 200, 2);
            assert!((accuracy - limit).abs() < 0.012, "SNR {snr}: {accuracy} instead of {limit}");
        }
    }

    #[test]
    fn small_faint_gonads_set_a_limit_below_one() {
        let observer = observer([1.6, 0.8, 0.7], 0.25);
        let d = observer.d_prime(30.0);
        assert!((d / 6.2 - 1.0).abs() < 0.05, "{d}");
        for (snr, limit) in [(10.0, 0.842), (15.0, 0.924), (30.0, 0.993), (45.0, 0.999)] {
            let accuracy = observer.accuracy(snr, 200, 2);
            assert!((accuracy - limit).abs() < 0.012, "SNR {snr}: {accuracy} instead of {limit}");
        }
    }

    #[test]
    fn equal_priors_leave_nothing_to_see() {
        let alike = Spread { mean: 0.3, sd: 0.1 };
        let profile = Profile { asymmetry_female: alike, asymmetry_male: alike, ..Profile::nominal() };
        let observer = Observer::new(&profile, &Grid::STANDARD, 3, 1);
        assert!(observer.d_prime(30.0) < 1e-9);
    }
}
