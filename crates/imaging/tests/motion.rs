//! What the motion figure sees, on phantoms that it was not fitted to.

use std::num::NonZero;

use ovomesh_imaging::{Header, Scratch, VolumeView, prepare};
use ovomesh_phantom::{Grid, Library, Profile, Scanner, Shares, rng};

/// The figure and the true amplitude of each egg; half of the living ones move.
fn figures(grid: &Grid, profile: &Profile, shares: [f64; 4], count: usize, snr: f64) -> Vec<(f32, f64)> {
    let profile = Profile { motion_share: 0.5, ..profile.clone() };
    let two = NonZero::new(2).expect("2 is not 0");
    let shares = Shares::new(shares).expect("valid shares");
    let eggs = Library::generate(&profile, grid, shares, count, 4242, two, |_| {});
    let (mut rng, mut scratch) = (rng(3), Scratch::default());
    let mut bytes = vec![0; eggs.grid().bytes()];
    let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
    (0..count)
        .map(|index| {
            eggs.acquire(index, &mut rng, &Scanner::with_snr(snr), &mut bytes);
            let volume = VolumeView::new(header, &bytes).expect("valid");
            (prepare(&volume, &mut scratch).quality.motion, eggs.truth(index).motion_mm)
        })
        .collect()
}

/// The chance that an egg which moves by at least `from` and less than `below` shows more than one that keeps
/// still.
fn auc(figures: &[(f32, f64)], from: f64, below: f64) -> f64 {
    let still = still(figures);
    let moving: Vec<f32> =
        figures.iter().filter(|(_, mm)| *mm > 0.0 && (from..below).contains(mm)).map(|(f, _)| *f).collect();
    let above = |f: &f32| still.iter().filter(|s| *s < f).count() as f64;
    moving.iter().map(above).sum::<f64>() / (still.len() * moving.len()) as f64
}

/// The figures of those that keep still, ascending.
fn still(figures: &[(f32, f64)]) -> Vec<f32> {
    let mut still: Vec<f32> = figures.iter().filter(|(_, mm)| *mm == 0.0).map(|(f, _)| *f).collect();
    still.sort_by(f32::total_cmp);
    still
}

fn at(ascending: &[f32], share: f64) -> f32 {
    ascending[(share * ascending.len() as f64) as usize]
}

#[test]
fn an_embryo_that_moves_by_more_than_half_a_millimetre_shows_at_snr_30() {
    for (name, profile) in [("nominal", Profile::nominal()), ("hard", Profile::hard())] {
        let figures = figures(&Grid::STANDARD, &profile, [0.5, 0.5, 0.0, 0.0], 1600, 30.0);
        let [any, half, most] = [0.0, 0.5, 0.8].map(|from| auc(&figures, from, 9.0));
        println!("{name}: any motion {any:.3}, from 0.5 mm on {half:.3}, from 0.8 mm on {most:.3}");
        // Within 0.01 each. From 0.5 mm on it is 0.93 (nominal) and 0.90 (hard).
        assert!(most > 0.92, "{name}: AUC {most} from 0.8 mm on");
        assert!(half > 0.885, "{name}: AUC {half} from 0.5 mm on");
        assert!(any > 0.835, "{name}: AUC {any} for any motion");
    }
}

#[test]
#[ignore = "a tool that takes minutes: it prints the figures in the documentation of Quality::motion"]
fn print_the_figures() {
    let bands = [(0.2, 0.35), (0.35, 0.5), (0.5, 0.8), (0.8, 9.0), (0.5, 9.0), (0.0, 9.0)];
    for (name, profile) in [("nominal", Profile::nominal()), ("hard", Profile::hard())] {
        for (eggs, shares) in [("living", [0.5, 0.5, 0.0, 0.0]), ("all", [0.45, 0.45, 0.06, 0.04])] {
            for snr in [30.0, 15.0, 10.0] {
                let figures = figures(&Grid::STANDARD, &profile, shares, 6000, snr);
                let auc = bands
                    .map(|(from, below)| format!("{from}..{below} mm {:.3}", auc(&figures, from, below)));
                let still = still(&figures);
                let [low, middle, high] = [0.01, 0.5, 0.99].map(|share| at(&still, share));
                println!(
                    "{name}, {eggs}, SNR {snr}: AUC {}; still {middle:.2}, 98 of 100 are {low:.2} to {high:.2}",
                    auc.join(", ")
                );
            }
        }
    }
}

#[test]
fn an_egg_that_keeps_still_reads_about_1_at_any_snr() {
    for snr in [10.0, 30.0, 60.0] {
        let still = still(&figures(&Grid::STANDARD, &Profile::hard(), [0.45, 0.45, 0.06, 0.04], 300, snr));
        let [middle, most] = [0.5, 0.95].map(|share| at(&still, share));
        assert!((0.5..1.6).contains(&middle), "SNR {snr}: median {middle}");
        assert!(most < 3.5, "SNR {snr}: 5 of 100 read more than {most}");
    }
}

#[test]
fn where_motion_cannot_be_told_an_egg_reads_1() {
    let moving = [0.5, 0.5, 0.0, 0.0];
    for (why, grid, snr) in
        [("noise drowns it", Grid::STANDARD, 5.0), ("the volume is resampled", Grid::FINE, 30.0)]
    {
        let figures = figures(&grid, &Profile::nominal(), moving, 16, snr);
        assert!(figures.iter().all(|(figure, _)| *figure == 1.0), "{why}: {figures:?}");
    }
}
