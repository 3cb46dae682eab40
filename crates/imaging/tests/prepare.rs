//! What preprocessing promises, on phantoms whose truth is known.

use ovomesh_imaging::{GRID, Handedness, Header, Prepared, Scratch, VolumeView, prepare, prepare_shifted};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Renderer, Scanner, rng};

fn header(grid: &Grid) -> Header {
    Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm)
}

fn bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn prepared(header: Header, samples: &[u16]) -> Prepared {
    let samples = bytes(samples);
    prepare(&VolumeView::new(header, &samples).expect("valid"), &mut Scratch::default())
}

fn scan(grid: &Grid, class: Class, seed: u64, snr: f64) -> Vec<u16> {
    let egg = Phantom::new(&Profile::nominal(), class, seed).render(grid);
    Scanner::with_snr(snr).acquire(&egg, &mut rng(seed))
}

/// The contract as the trained spike has it, step by step and without any trick: threshold at 0.3 of the 90th
/// percentile of the middle slices, centroid, 48 x 48 window, mean(x^2) / mean(x), times 100, rounded, u8.
fn contract(v: &[u16]) -> (Vec<u8>, [usize; 2]) {
    let mut middle = v[4 * 4096..12 * 4096].to_vec();
    middle.sort_unstable();
    let threshold = 0.3 * f32::from(middle[(0.9 * 8.0 * 4096.0) as usize - 1]);
    let (mut n, mut sx, mut sy) = (0.0f32, 0.0f64, 0.0f64);
    for (i, &value) in v.iter().enumerate() {
        if f32::from(value) > threshold {
            n += 1.0;
            sx += (i % 64) as f64;
            sy += (i / 64 % 64) as f64;
        }
    }
    let start = |s: f64| (s as f32 / n.max(1.0) + 0.5 - 24.0).round_ties_even().clamp(0.0, 16.0) as usize;
    let (x0, y0) = (start(sx), start(sy));
    let mut window = Vec::new();
    for z in 0..16 {
        for y in y0..y0 + 48 {
            window.extend((x0..x0 + 48).map(|x| f64::from(v[(z * 64 + y) * 64 + x])));
        }
    }
    let mean = window.iter().sum::<f64>() / window.len() as f64;
    let square = window.iter().map(|v| v * v).sum::<f64>() / window.len() as f64;
    let scale = 100.0 * mean / square;
    (window.iter().map(|v| (v * scale).round().clamp(0.0, 255.0) as u8).collect(), [x0, y0])
}

#[test]
fn the_window_is_the_one_of_the_contract() {
    for (seed, class) in Class::ALL.into_iter().cycle().take(24).enumerate() {
        let samples = scan(&Grid::STANDARD, class, seed as u64, 10.0 + 2.0 * seed as f64);
        let (expected, [x0, y0]) = contract(&samples);
        let got = prepared(header(&Grid::STANDARD), &samples);
        assert_eq!(got.origin_mm, [x0 as f32, y0 as f32, 0.0], "seed {seed}");
        // Sums in f32 or f64 may round one sample in many to the neighbour.
        let off = got.samples.iter().zip(&expected).filter(|(a, b)| a != b).count();
        let worst = got.samples.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= 4 && worst <= Some(1), "seed {seed}: {off} samples differ, by up to {worst:?}");
    }
}

#[test]
fn a_mirrored_volume_gives_the_same_grid_and_points_to_the_same_place() {
    let samples = scan(&Grid::STANDARD, Class::Female, 3, 30.0);
    let mirrored: Vec<u16> = samples.chunks_exact(4096).rev().flatten().copied().collect();
    let right = prepared(header(&Grid::STANDARD), &samples);
    let left = prepared(Header { handedness: Handedness::Left, ..header(&Grid::STANDARD) }, &mirrored);
    assert_eq!(right.samples, left.samples);
    assert_eq!((right.step_mm[2], left.step_mm[2]), (2.8, -2.8), "the answer says that it was turned round");
    // The same place on the grid is the same slice, which the mirrored volume counts from the other end.
    let (a, b) = (right.position_mm([10.0, 20.0, 3.0]), left.position_mm([10.0, 20.0, 3.0]));
    assert!(
        (a[0] - b[0]).abs() < 1e-4 && (a[1] - b[1]).abs() < 1e-4 && (a[2] + b[2] - 15.0 * 2.8).abs() < 1e-4,
        "{a:?} {b:?}"
    );
}

#[test]
fn a_place_on_the_grid_is_the_same_place_of_the_volume_on_every_grid() {
    // A bright point on the left gonad's place is found again where `position_mm` says.
    for grid in [Grid::STANDARD, Grid::FINE, Grid::FINEST] {
        let egg = Phantom::new(&Profile::nominal(), Class::Female, 8).render(&grid);
        let place = egg.truth.gonads_mm.expect("alive")[0];
        let mut samples = Scanner::default().acquire(&egg, &mut rng(1));
        for (i, v) in samples.iter_mut().enumerate() {
            let at = [i % grid.columns, i / grid.columns % grid.rows, i / grid.columns / grid.rows];
            let square: f64 = (0..3).map(|k| (at[k] as f64 * grid.spacing_mm[k] - place[k]).powi(2)).sum();
            if square < 9.0 {
                *v = 20_000;
            }
        }
        let got = prepared(header(&grid), &samples);
        let (mut sum, mut weight) = ([0.0; 3], 0.0);
        for (i, &v) in got.samples.iter().enumerate().filter(|(_, v)| **v > 100) {
            let at = [i % GRID[0], i / GRID[0] % GRID[1], i / GRID[0] / GRID[1]].map(|k| k as f32);
            let position = got.position_mm(at);
            (0..3).for_each(|k| sum[k] += f64::from(position[k]) * f64::from(v));
            weight += f64::from(v);
        }
        for k in 0..3 {
            let found = sum[k] / weight;
            assert!((found - place[k]).abs() < 1.0, "{grid:?} axis {k}: {found} instead of {}", place[k]);
        }
    }
}

#[test]
fn an_offset_of_the_samples_changes_nothing_once_it_is_stated() {
    let samples = scan(&Grid::STANDARD, Class::Male, 4, 30.0);
    let shifted: Vec<u16> = samples.iter().map(|v| v + 1000).collect();
    let stated = Header { slope: 0.5, intercept: -500.0, ..header(&Grid::STANDARD) };
    assert_eq!(prepared(header(&Grid::STANDARD), &samples), prepared(stated, &shifted));
}

#[test]
fn buffers_keep_nothing_from_scan_to_scan() {
    let mut scratch = Scratch::default();
    let grids = [
        Grid::FINE,
        Grid::STANDARD,
        Grid { columns: 40, rows: 56, slices: 11, spacing_mm: [1.5, 1.2, 4.0] },
        Grid::STANDARD,
    ];
    for (seed, grid) in grids.iter().enumerate() {
        let samples = bytes(&scan(grid, Class::Male, seed as u64, 20.0));
        let view = VolumeView::new(header(grid), &samples).expect("valid");
        assert_eq!(prepare(&view, &mut scratch), prepare(&view, &mut Scratch::default()));
    }
}

#[test]
fn a_shifted_window_shows_the_same_egg_beside() {
    let samples = bytes(&scan(&Grid::STANDARD, Class::Male, 4, 30.0));
    let view = VolumeView::new(header(&Grid::STANDARD), &samples).expect("valid");
    let (plain, moved) = (
        prepare(&view, &mut Scratch::default()),
        prepare_shifted(&view, &mut Scratch::default(), [1, -1, 0]),
    );
    assert_eq!(
        [moved.origin_mm[0] - plain.origin_mm[0], moved.origin_mm[1] - plain.origin_mm[1]],
        [1.0, -1.0]
    );
    let at = |p: &Prepared, x: usize, y: usize| i32::from(p.samples[(8 * 48 + y) * 48 + x]);
    for y in 2..46 {
        for x in 2..46 {
            assert!((at(&moved, x, y) - at(&plain, x + 1, y - 1)).abs() <= 3);
        }
    }
}

#[test]
fn an_odd_volume_is_prepared_without_a_panic() {
    let sizes =
        [[8, 8, 4], [512, 8, 4], [8, 512, 5], [9, 47, 512], [64, 64, 16], [48, 48, 16], [200, 130, 7]];
    let mut scratch = Scratch::default();
    for dims in sizes {
        for spacing_mm in [[0.05; 3], [20.0; 3], [1.0, 1.0, 2.8], [0.05, 20.0, 1.0], [1.004, 0.996, 2.81]] {
            for value in [0u16, 1, 65_535] {
                let header = Header::new(dims, spacing_mm);
                let samples = bytes(&vec![value; header.len()]);
                let got = prepare(&VolumeView::new(header, &samples).expect("valid"), &mut scratch);
                assert_eq!((got.samples.len(), got.preview.len()), (48 * 48 * 16, 48 * 24));
                assert!(got.not_an_egg.is_some(), "{dims:?} {spacing_mm:?} {value} passed as an egg");
            }
        }
    }
}

#[test]
fn every_phantom_may_be_an_egg_on_every_grid() {
    let mut scratch = Scratch::default();
    let mut refused = Vec::new();
    for (profile, name) in [(Profile::nominal(), "nominal"), (Profile::hard(), "hard")] {
        for (grid, count) in [(Grid::STANDARD, 120), (Grid::FINE, 16), (Grid::FINEST, 4)] {
            let mut renderer = Renderer::new(&grid);
            for seed in 0..count {
                let class = Class::ALL[seed as usize % 4];
                let egg = renderer.render(&Phantom::new(&profile, class, 1000 + seed));
                for snr in [10.0, 60.0] {
                    let samples = bytes(&Scanner::with_snr(snr).acquire(&egg, &mut rng(seed)));
                    let got =
                        prepare(&VolumeView::new(header(&grid), &samples).expect("valid"), &mut scratch);
                    if let Some(reason) = got.not_an_egg {
                        refused.push(format!(
                            "{name} {class} {}^3 seed {seed} SNR {snr}: {reason}",
                            grid.slices
                        ));
                    }
                }
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn what_is_no_egg_is_told_so() {
    let grid = Grid::STANDARD;
    let mut noise = rng(1);
    let mut image = |signal: &dyn Fn(f64, f64, f64) -> f64, spacing_mm: [f64; 3]| {
        let mm =
            |i: usize| [(i % 64) as f64 - 31.5, (i / 64 % 64) as f64 - 31.5, ((i / 4096) as f64 - 7.5) * 2.8];
        let samples = (0..grid.len())
            .map(|i| {
                let [x, y, z] = mm(i);
                signal(x, y, z) as f32
            })
            .collect();
        let truth = Phantom::new(&Profile::nominal(), Class::Infertile, 1).truth(&grid);
        let clean = ovomesh_phantom::CleanScan { samples, grid, truth };
        prepared(Header::new([64, 64, 16], spacing_mm), &Scanner::default().acquire(&clean, &mut noise))
            .not_an_egg
    };
    let standard = [1.0, 1.0, 2.8];
    let ball = |r: f64| move |x: f64, y: f64, z: f64| if x * x + y * y + z * z < r * r { 0.6 } else { 0.0 };
    type Case<'a> = (&'a str, &'a dyn Fn(f64, f64, f64) -> f64, [f64; 3], &'a str);
    let shell = |x: f64, y: f64, z: f64| {
        let r = (x * x + y * y + z * z).sqrt();
        if (17.0..24.0).contains(&r) { 0.6 } else { 0.0 }
    };
    let rod = |x: f64, y: f64, z: f64| if x.abs() < 31.0 && y * y + z * z < 12.0 * 12.0 { 0.6 } else { 0.0 };
    let two = |x: f64, y: f64, z: f64| {
        if (x.abs() - 18.0).powi(2) + y * y + z * z < 13.0 * 13.0 { 0.6 } else { 0.0 }
    };
    let (small, full) = (ball(15.0), |_: f64, _: f64, _: f64| 0.6);
    let (empty, egg) = (|_: f64, _: f64, _: f64| 0.0, ball(22.0));
    let cases: [Case<'_>; 7] = [
        ("an empty coil", &empty, standard, "coil"),
        ("a full image", &full, standard, "fills the whole image"),
        ("a small ball", &small, standard, "ml"),
        ("an egg with a wrong spacing", &egg, [2.0, 2.0, 5.6], "ml"),
        ("a shell", &shell, standard, "hollow"),
        ("a rod", &rod, standard, "shape"),
        ("two balls", &two, standard, ""),
    ];
    for (name, signal, spacing, named) in cases {
        let reason = image(signal, spacing);
        assert!(reason.as_ref().is_some_and(|r| r.contains(named)), "{name}: {reason:?}");
    }
    assert_eq!(image(&egg, standard), None, "a ball of an egg's size is for the model to refuse");
}
