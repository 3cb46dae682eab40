//! What a phantom promises: the truth it tells is in its image, and nothing else gives its sex away.

use std::num::NonZero;

use ovomesh_phantom::{
    Class, CleanScan, Grid, Library, Phantom, Profile, Renderer, Scanner, Shares, TRUNK_SIGNAL, rng,
};

fn two() -> NonZero<usize> {
    NonZero::new(2).expect("2 is not 0")
}

fn library(profile: &Profile, count: usize, seed: u64) -> Library {
    let shares = Shares::new([0.5, 0.5, 0.0, 0.0]).expect("valid shares");
    Library::generate(profile, &Grid::STANDARD, shares, count, seed, two(), |_| {})
}

#[test]
fn equal_seeds_give_equal_bytes_and_other_seeds_others() {
    let scan = |seed: u64| {
        let egg = Phantom::new(&Profile::hard(), Class::Female, seed);
        Scanner::default().acquire(&egg.render(&Grid::STANDARD), &mut rng(seed))
    };
    assert_eq!(scan(11), scan(11));
    assert_ne!(scan(11), scan(12));
}

#[test]
fn a_library_is_the_same_whatever_its_size_and_threads() {
    let shares = Shares::HATCHERY;
    let make = |count, threads| {
        let threads = NonZero::new(threads).expect("some threads");
        Library::generate(&Profile::nominal(), &Grid::STANDARD, shares, count, 3, threads, |_| {})
    };
    let (small, large) = (make(5, 1), make(9, 3));
    assert_eq!((small.len(), large.len()), (5, 9));
    let (mut a, mut b) = (vec![0; small.grid().bytes()], vec![0; small.grid().bytes()]);
    for index in 0..small.len() {
        assert_eq!(small.truth(index), large.truth(index));
        small.acquire(index, &mut rng(1), &Scanner::default(), &mut a);
        large.acquire(index, &mut rng(1), &Scanner::default(), &mut b);
        assert!(a == b, "scan {index} differs");
    }
}

#[test]
fn a_library_gives_what_its_phantom_gives_but_for_rounding() {
    let library = library(&Profile::nominal(), 2, 9);
    let class = library.truth(1).class;
    let egg =
        Phantom::new(&Profile::nominal(), class, ovomesh_phantom::seed_of(9, 1)).render(&Grid::STANDARD);
    assert_eq!(&egg.truth, library.truth(1));
    let worst = egg.samples.iter().zip(library.clean(1)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-5, "{worst}");
}

#[test]
fn classes_come_in_their_shares() {
    let mut counts = [0; 4];
    for seed in 0..10_000 {
        counts[Shares::HATCHERY.class_of(seed).index()] += 1;
    }
    // Four standard deviations of a binomial at most.
    for (count, expected) in counts.into_iter().zip([4500, 4500, 600, 400]) {
        let spread = 4.0 * f64::from(expected).sqrt();
        assert!(f64::from(expected - count).abs() < spread, "{counts:?}");
    }
    assert!(Shares::new([0.0; 4]).is_err());
    assert!(Shares::new([1.0, -0.1, 0.0, 0.0]).is_err());
    assert!(Shares::new([f64::NAN, 1.0, 0.0, 0.0]).is_err());
}

/// Mean signal within 1.5 mm of a place, by linear weights.
fn signal_around(scan: &CleanScan, at: [f64; 3]) -> f64 {
    let grid = &scan.grid;
    let (mut sum, mut weights) = (0.0, 0.0);
    for (i, &v) in scan.samples.iter().enumerate() {
        let index = [i % grid.columns, i / grid.columns % grid.rows, i / grid.columns / grid.rows];
        let square: f64 = (0..3).map(|k| (index[k] as f64 * grid.spacing_mm[k] - at[k]).powi(2)).sum();
        let weight = (1.5 - square.sqrt()).max(0.0);
        sum += weight * f64::from(v);
        weights += weight;
    }
    sum / weights
}

#[test]
fn the_asymmetry_of_the_gonads_shows_where_the_truth_says() {
    // Everything alike but how the volume is shared.
    let left_only =
        Profile { asymmetry_female: ovomesh_phantom::Spread { mean: 0.9, sd: 0.0 }, ..Profile::hard() };
    let right_only =
        Profile { asymmetry_female: ovomesh_phantom::Spread { mean: -0.9, sd: 0.0 }, ..Profile::hard() };
    let mut renderer = Renderer::new(&Grid::FINE);
    for seed in 0..6 {
        let mut render = |profile: &Profile| renderer.render(&Phantom::new(profile, Class::Female, seed));
        let (left, right) = (render(&left_only), render(&right_only));
        let [at_left, at_right] = left.truth.gonads_mm.expect("alive");
        assert_eq!(left.truth.gonads_mm, right.truth.gonads_mm);
        let gain = signal_around(&left, at_left) - signal_around(&right, at_left);
        let loss = signal_around(&left, at_right) - signal_around(&right, at_right);
        assert!(gain > 0.05 && loss < -0.05, "seed {seed}: left {gain}, right {loss}");
    }
}

#[test]
fn head_left_and_back_are_right_handed_as_in_a_real_bird() {
    for seed in 0..20 {
        let egg = Phantom::new(&Profile::hard(), Class::Male, seed);
        let truth = egg.truth(&Grid::STANDARD);
        let ([left, right], axes) = (truth.gonads_mm.expect("alive"), truth.rotation.expect("alive"));
        let column = |j: usize| axes.map(|row| row[j]);
        let (head, to_right, belly) = (column(0), column(1), column(2));
        let dot = |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| a[i] * b[i]).sum::<f64>();
        let to_left = [0, 1, 2].map(|i| left[i] - right[i]);
        let cross = [
            head[1] * to_left[2] - head[2] * to_left[1],
            head[2] * to_left[0] - head[0] * to_left[2],
            head[0] * to_left[1] - head[1] * to_left[0],
        ];
        assert!(dot(cross, belly) < -2.0, "seed {seed}: head x left is the belly's side, not the back");
        assert!(dot(to_left, to_right) < -2.0, "seed {seed}: the second axis is not its right");
    }
}

#[test]
fn truth_of_all_grids_is_the_same_egg() {
    let egg = Phantom::new(&Profile::nominal(), Class::Female, 2);
    let relative = |grid: &Grid| {
        egg.truth(grid).gonads_mm.expect("alive")[0]
            .iter()
            .zip(grid.isocentre_mm())
            .map(|(a, b)| a - b)
            .collect::<Vec<_>>()
    };
    let standard = relative(&Grid::STANDARD);
    for grid in [Grid::FINE, Grid::FINEST] {
        assert!(relative(&grid).iter().zip(&standard).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

#[test]
fn an_egg_weighs_the_same_on_a_fine_grid() {
    let egg = Phantom::new(&Profile { motion_share: 0.0, ..Profile::nominal() }, Class::Male, 4);
    let mass =
        |grid: &Grid| egg.render(grid).samples.iter().map(|&v| f64::from(v)).sum::<f64>() * grid.voxel_mm3();
    let (standard, fine) = (mass(&Grid::STANDARD), mass(&Grid::FINE));
    assert!((fine / standard - 1.0).abs() < 0.02, "{standard} and {fine}");
}

#[test]
fn noise_of_the_background_is_what_the_snr_says() {
    let egg = Phantom::new(&Profile { motion_share: 0.0, ..Profile::nominal() }, Class::Male, 4)
        .render(&Grid::STANDARD);
    for snr in [10.0, 30.0] {
        let scanner = Scanner { snr, bias: 0.0, gain_sd: 0.0 };
        let scan = scanner.acquire(&egg, &mut rng(8));
        let corner = |i: &usize| i % 64 < 5 && i / 64 % 64 < 64;
        let background: Vec<f64> = (0..scan.len()).filter(corner).map(|i| f64::from(scan[i])).collect();
        // A magnitude of noise alone is Rayleigh distributed: its mean is sigma * sqrt(pi / 2).
        let mean = background.iter().sum::<f64>() / background.len() as f64;
        let sigma = mean / (std::f64::consts::PI / 2.0).sqrt();
        let expected = TRUNK_SIGNAL / snr * ovomesh_phantom::NOMINAL_GAIN;
        assert!((sigma / expected - 1.0).abs() < 0.1, "SNR {snr}: sigma {sigma}, expected {expected}");
    }
}

#[test]
fn two_scans_of_one_egg_share_no_noise() {
    let egg = Phantom::new(&Profile::nominal(), Class::Male, 4).render(&Grid::STANDARD);
    let scanner = Scanner { bias: 0.0, gain_sd: 0.0, snr: 20.0 };
    let mut rng = rng(1);
    let mut residual = || -> Vec<f64> {
        let scan = scanner.acquire(&egg, &mut rng);
        let inside = scan.iter().zip(&egg.samples).filter(|(_, clean)| **clean > 0.3);
        inside.map(|(&v, &clean)| f64::from(v) - 2000.0 * f64::from(clean)).collect()
    };
    let (a, b) = (residual(), residual());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let correlation = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    assert!(correlation.abs() < 0.05, "{correlation}");
}
