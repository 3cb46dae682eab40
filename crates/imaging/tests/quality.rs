//! Quality figures against what is true of phantoms.

use ovomesh_imaging::{Header, Quality, Scratch, VolumeView, prepare};
use ovomesh_phantom::{
    Class, CleanScan, Grid, NOMINAL_GAIN, Phantom, Profile, Renderer, Scanner, TRUNK_SIGNAL, rng,
};

fn still() -> Profile {
    Profile { motion_share: 0.0, ..Profile::nominal() }
}

fn quality(scan: &[u16], grid: &Grid) -> Quality {
    let bytes: Vec<u8> = scan.iter().flat_map(|v| v.to_le_bytes()).collect();
    let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
    prepare(&VolumeView::new(header, &bytes).expect("valid"), &mut Scratch::default()).quality
}

fn eggs(profile: &Profile, count: u64) -> Vec<CleanScan> {
    let mut renderer = Renderer::new(&Grid::STANDARD);
    (0..count)
        .map(|seed| renderer.render(&Phantom::new(profile, Class::ALL[seed as usize % 4], 500 + seed)))
        .collect()
}

#[test]
fn snr_is_the_true_one_within_10_percent_whatever_the_coils_field() {
    for egg in eggs(&still(), 24) {
        for (snr, bias) in
            [5.0, 8.0, 15.0, 30.0, 60.0].into_iter().flat_map(|s| [(s, 0.0), (s, 0.25), (s, 0.5)])
        {
            let scanner = Scanner { snr, bias, gain_sd: 0.0 };
            // The same field without noise: what the egg's mean is.
            let clean = Scanner { snr: 1e6, ..scanner }.acquire(&egg, &mut rng(snr as u64));
            let inside =
                clean.iter().zip(&egg.samples).filter(|(_, s)| **s > 0.25).map(|(v, _)| f64::from(*v));
            let mean = inside.clone().sum::<f64>() / inside.count() as f64;
            let truth = mean / (NOMINAL_GAIN * TRUNK_SIGNAL / snr);
            let scan = scanner.acquire(&egg, &mut rng(snr as u64));
            let got = f64::from(quality(&scan, &egg.grid).snr);
            assert!(
                (got / truth - 1.0).abs() < 0.10,
                "{} at SNR {snr}, field {bias}: {got:.1} instead of {truth:.1}",
                egg.truth.class
            );
        }
    }
}

#[test]
fn the_volume_of_the_egg_is_the_true_one_but_for_the_air_cell() {
    for egg in eggs(&Profile::hard(), 24) {
        let scan = Scanner::with_snr(20.0).acquire(&egg, &mut rng(1));
        let (got, truth) = (f64::from(quality(&scan, &egg.grid).egg_ml), egg.truth.egg_ml);
        assert!(
            (0.85..1.15).contains(&(got / truth)),
            "{}: {got:.1} instead of {truth:.1} ml",
            egg.truth.class
        );
    }
}

#[test]
fn eggs_that_shake_stand_out_from_eggs_that_do_not() {
    let shaking = Profile { shake_share: 1.0, motion_mm: [0.8, 1.5], ..Profile::nominal() };
    let mut renderer = Renderer::new(&Grid::STANDARD);
    let mut motions = |profile: &Profile, first: u64| -> Vec<f32> {
        let motion = |seed: u64| {
            let egg = renderer.render(&Phantom::new(profile, Class::ALL[seed as usize % 4], first + seed));
            quality(&Scanner::with_snr(30.0).acquire(&egg, &mut rng(first + seed)), &egg.grid).motion
        };
        (0..40).map(motion).collect()
    };
    let (still, shaking) = (motions(&still(), 0), motions(&shaking, 100));
    assert!(still.iter().all(|m| (0.03..8.0).contains(m)), "{still:.2?} for eggs that keep still");
    // The chance that a shaking egg shows more than one that keeps still.
    let above =
        shaking.iter().flat_map(|m| still.iter().map(move |s| f64::from(u8::from(m > s)))).sum::<f64>();
    let auc = above / (still.len() * shaking.len()) as f64;
    assert!(auc > 0.9, "AUC {auc}: still {still:.2?}, shaking {shaking:.2?}");
}

#[test]
fn an_egg_that_is_cut_shows_how_much_of_it_is_there() {
    let grid = Grid::STANDARD;
    let whole = quality(&Scanner::default().acquire(&eggs(&still(), 1)[0], &mut rng(1)), &grid);
    assert!(whole.coverage > 0.97, "a whole egg: {}", whole.coverage);
    // Cut at the first rows or columns: the image is moved so that its edge is where the cut is.
    for egg in eggs(&still(), 8) {
        let scan = Scanner::default().acquire(&egg, &mut rng(2));
        let inside = |i: &usize| egg.samples[*i] > 0.27;
        let all = (0..grid.len()).filter(inside).count() as f64;
        for (axis, by) in [(0, 12), (1, 16), (1, 25), (2, 3), (2, 6)] {
            let at = |i: usize| [i % 64, i / 64 % 64, i / 4096][axis];
            let truth = (0..grid.len()).filter(|i| inside(i) && at(*i) >= by).count() as f64 / all;
            let (stride, size) = ([1, 64, 4096][axis], [64, 64, 16][axis]);
            // What moves in at the far side is the noise of the near corner.
            let moved: Vec<u16> = (0..grid.len())
                .map(|i| if at(i) + by < size { scan[i + by * stride] } else { scan[i % 64 % 4] })
                .collect();
            let got = f64::from(quality(&moved, &grid).coverage);
            assert!((got - truth).abs() < 0.12, "axis {axis} cut by {by}: {got:.2} instead of {truth:.2}");
        }
    }
}

#[test]
fn clipping_is_the_share_of_the_egg_at_the_top() {
    let egg = &eggs(&still(), 1)[0];
    let scan = Scanner { bias: 0.0, gain_sd: 0.0, snr: 40.0 }.acquire(egg, &mut rng(3));
    assert!(quality(&scan, &egg.grid).clipped < 0.001);
    for top in [1500u16, 1300, 1100] {
        let clipped: Vec<u16> = scan.iter().map(|v| *v.min(&top)).collect();
        let truth = scan.iter().filter(|v| **v >= top).count() as f64
            / scan.iter().filter(|v| **v > 450).count() as f64;
        let got = f64::from(quality(&clipped, &egg.grid).clipped);
        assert!((got - truth).abs() < 0.1 * truth + 0.005, "at {top}: {got:.3} instead of {truth:.3}");
    }
}

#[test]
fn what_a_scanner_set_to_0_outside_of_its_field_of_view_is_no_noise() {
    let circle = |radius: f64, scan: &[u16], grid: &Grid| -> Vec<u16> {
        let off = |i: usize, n: usize| (i as f64 + 0.5) / n as f64 * 2.0 - 1.0;
        let inside = |i: usize| {
            let (x, y) = (off(i % grid.columns, grid.columns), off(i / grid.columns % grid.rows, grid.rows));
            x.hypot(y) < radius
        };
        scan.iter().enumerate().map(|(i, &v)| if inside(i) { v } else { 0 }).collect()
    };
    for (n, egg) in eggs(&still(), 12).iter().enumerate() {
        for snr in [10.0, 15.0, 30.0, 60.0] {
            let scan = Scanner::with_snr(snr).acquire(egg, &mut rng(n as u64));
            let whole = quality(&scan, &egg.grid);
            for radius in [1.0, 0.95, 1.2] {
                let padded = quality(&circle(radius, &scan, &egg.grid), &egg.grid);
                let ratio = padded.snr / whole.snr;
                assert!(
                    (0.9..1.1).contains(&ratio),
                    "{n}, {snr}, {radius}: {} and {}",
                    padded.snr,
                    whole.snr
                );
                assert!(padded.motion < whole.motion + 3.0, "{n}, {snr}, {radius}: {padded:?} and {whole:?}");
            }
        }
    }
}
