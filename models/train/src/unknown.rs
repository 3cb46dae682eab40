//! Images that are no eggs as the model knows them: none of them may get a confident sex.

use crate::eggs::{Eggs, Group};
use crate::evaluate::{Judged, is_sex};
use crate::input::INPUT;
use crate::measure::{SEED, test_eggs};
use crate::prepare::Preparer;
use crate::share::Share;
use anyhow::Result;
use ovomesh_api::policy::Policy;
use ovomesh_model::model::Model;
use ovomesh_phantom::{Grid, Scanner, rng, seed_of};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngCore};
use serde::{Deserialize, Serialize};
use std::num::NonZero;
use tch::{Kind, Tensor};

/// What became of one kind of image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unknown {
    pub(crate) kind: String,
    /// Whether the model has learnt from such images that they are none of its own.
    pub(crate) learnt: bool,
    /// Preprocessing found no egg.
    pub(crate) refused: Share,
    /// The model found it stranger than 99.7 % of eggs.
    pub(crate) strange: Share,
    /// Called FEMALE or MALE under the released policy.
    pub(crate) given_a_sex: Share,
}

/// What is not spoilt at all: for comparison.
pub(crate) const EGGS: &str = "eggs as they should be";
/// No class of the model.
const NO_EGG: usize = 4;
/// Images that go through the model at once.
const BATCH: usize = 16;
/// Signal of the made-up objects: between trunk and fluid.
const OBJECT: f32 = 0.6;
/// Radius of the ball of water, in millimetres: as large as an egg is thick.
const BALL_MM: f64 = 22.0;

/// A way to spoil a clean scan.
type Spoil = fn(&mut Vec<f32>, &Grid, &mut dyn RngCore);

struct Object {
    name: &'static str,
    learnt: bool,
    snr: f64,
    bias: f64,
    spoil: Spoil,
}

fn kinds() -> Vec<Object> {
    let kind = |name, spoil| Object { name, learnt: false, snr: 30.0, bias: Scanner::default().bias, spoil };
    let keep: Spoil = |_, _, _| ();
    let reverse_slices: Spoil = |samples, grid, _| {
        *samples = samples.chunks_exact(grid.columns * grid.rows).rev().flatten().copied().collect();
    };
    let reverse_rows: Spoil = |samples, grid, _| {
        let slices = samples.chunks_exact(grid.columns * grid.rows);
        *samples = slices.flat_map(|slice| slice.rchunks_exact(grid.columns)).flatten().copied().collect();
    };
    let reverse_columns: Spoil = |samples, grid, _| {
        samples.chunks_exact_mut(grid.columns).for_each(<[f32]>::reverse);
    };
    vec![
        kind(EGGS, keep),
        Object { bias: 0.5, ..kind("eggs, twice the coil's field", keep) },
        Object { snr: 5.0, ..kind("eggs, SNR 5", keep) },
        Object { snr: 3.0, ..kind("eggs, SNR 3", keep) },
        kind("noise only", |samples, _, _| samples.fill(0.0)),
        kind("uniform and bright", |samples, _, _| samples.fill(OBJECT)),
        kind("a ball of water", |samples, grid, _| ball(samples, grid)),
        kind("a head (skin, skull, brain, ventricles)", |samples, grid, random| head(samples, grid, random)),
        kind("two eggs that overlap", |samples, grid, _| {
            let other: Vec<f32> = samples.iter().rev().copied().collect();
            samples.rotate_right(12 * grid.columns);
            for (sample, other) in samples.iter_mut().zip(other) {
                *sample = sample.max(other);
            }
        }),
        kind("half of the egg missing", |samples, grid, _| {
            blank(samples, grid, |[x, _, _]| 2 * x >= grid.columns);
        }),
        kind("moved 16 mm out of the image", |samples, grid, _| {
            samples.rotate_right(16 * grid.columns);
            blank(samples, grid, |[_, y, _]| y < 16);
        }),
        kind("moved 2 slices out of the image", |samples, grid, _| {
            samples.rotate_right(2 * grid.columns * grid.rows);
            blank(samples, grid, |[_, _, z]| z < 2);
        }),
        kind("slices shuffled", |samples, grid, random| {
            let mut slices: Vec<&[f32]> = samples.chunks_exact(grid.columns * grid.rows).collect();
            slices.shuffle(random);
            *samples = slices.concat();
        }),
        Object { learnt: true, ..kind("slices reversed (a mirror image)", reverse_slices) },
        Object { learnt: true, ..kind("rows reversed (a mirror image)", reverse_rows) },
        kind("columns reversed (a mirror image)", reverse_columns),
        kind("turned by 90 degrees", |samples, grid, _| {
            let old = samples.clone();
            each(samples, grid, |_, [x, y, z]| old[(z * grid.rows + x) * grid.columns + y]);
        }),
        kind("contrast inverted", |samples, grid, _| {
            each(samples, grid, |sample, _| if sample > 0.1 { (1.2 - sample).max(0.0) } else { 0.0 });
        }),
        kind("random samples", |samples, _, random| samples.fill_with(|| random.random::<f32>())),
    ]
}

/// Makes and judges `images` of every kind, or a few more to fill the last batch. What is spoilt are eggs in any pose.
pub(crate) fn measure(
    model: &Model,
    policy: &Policy,
    images: usize,
    threads: NonZero<usize>,
) -> Result<Vec<Unknown>> {
    let eggs = test_eggs(Group::Hard, images.next_multiple_of(BATCH), threads, |profile| profile);
    let judged = |(index, kind): (u64, &Object)| -> Result<Unknown> {
        let judged = judge(model, &eggs, kind, seed_of(seed_of(SEED, 7), index))?;
        Ok(Unknown {
            kind: kind.name.to_owned(),
            learnt: kind.learnt,
            refused: Share::count(judged.iter().map(|judged| judged.quality.is_none())),
            strange: Share::count(judged.iter().map(|judged| judged.scores.strangeness > 1.0)),
            given_a_sex: Share::count(judged.iter().map(|judged| is_sex(judged.call(policy)))),
        })
    };
    (0..).zip(&kinds()).map(judged).collect()
}

fn judge(model: &Model, eggs: &Eggs, kind: &Object, seed: u64) -> Result<Vec<Judged>> {
    let _no_grad = tch::no_grad_guard();
    let mut random = rng(seed);
    let scanner = Scanner { snr: kind.snr, bias: kind.bias, ..Scanner::default() };
    let mut preparer = Preparer::new(&Grid::STANDARD, None);
    let mut judged = Vec::new();
    while judged.len() < eggs.len() {
        let mut samples = Vec::new();
        let mut quality = Vec::new();
        for index in judged.len()..judged.len() + BATCH {
            let mut clean = eggs.clean(index);
            let grid = clean.grid;
            (kind.spoil)(&mut clean.samples, &grid, &mut random);
            let mut raw = vec![0; grid.bytes()];
            scanner.acquire_into(&clean, &mut random, &mut raw);
            let prepared = preparer.prepare(&raw, [0; 2]);
            quality.push(prepared.not_an_egg.is_none().then_some(prepared.quality));
            samples.extend(prepared.samples);
        }
        let [z, y, x] = INPUT;
        let input = Tensor::from_data_size(&samples, &[BATCH as i64, z, y, x], Kind::Uint8);
        let scores = model.run(&input, BATCH)?;
        let with = scores.into_iter().zip(quality);
        judged.extend(with.map(|(scores, quality)| Judged {
            class: NO_EGG,
            motion_mm: 0.0,
            size: None,
            steepness: None,
            quality,
            scores,
            off_mm: None,
        }));
    }
    Ok(judged)
}

/// Replaces each sample by a function of it and its x, y, z.
fn each(samples: &mut [f32], grid: &Grid, new: impl Fn(f32, [usize; 3]) -> f32) {
    for (index, sample) in samples.iter_mut().enumerate() {
        let (line, x) = (index / grid.columns, index % grid.columns);
        *sample = new(*sample, [x, line % grid.rows, line / grid.rows]);
    }
}

fn blank(samples: &mut [f32], grid: &Grid, inside: impl Fn([usize; 3]) -> bool) {
    each(samples, grid, |sample, at| if inside(at) { 0.0 } else { sample });
}

fn ball(samples: &mut [f32], grid: &Grid) {
    let centre = grid.isocentre_mm();
    each(samples, grid, |_, at| {
        let away = |axis: usize| at[axis] as f64 * grid.spacing_mm[axis] - centre[axis];
        let square: f64 = (0..3).map(|axis| away(axis).powi(2)).sum();
        if square < BALL_MM * BALL_MM { OBJECT } else { 0.0 }
    });
}

/// A head as large as an egg, anyhow turned: ellipsoids of skin and fat, skull, brain and ventricles with the contrast of
/// a T1-weighted image.
fn head(samples: &mut [f32], grid: &Grid, random: &mut dyn RngCore) {
    let size = random.random_range(0.8..1.1);
    let centre = grid.isocentre_mm();
    let (sin, cos) = random.random_range(-3.0_f64..3.0).sin_cos();
    let (up, along) = random.random_range(-1.5_f64..1.5).sin_cos();
    // Semi-axes in millimetres from without to within, and the signal from there on.
    let shells = [([25.0, 20.0, 20.0], 0.9_f32), ([23.0, 18.2, 18.2], 0.1), ([21.5, 17.0, 17.0], 0.6)];
    each(samples, grid, |_, at| {
        let [x, y, z] = [0, 1, 2].map(|axis| (at[axis] as f64 * grid.spacing_mm[axis] - centre[axis]) / size);
        let (x, y) = (cos * x + sin * y, cos * y - sin * x);
        let (x, z) = (along * x + up * z, along * z - up * x);
        let inside = |[a, b, c]: [f64; 3], [u, v, w]: [f64; 3]| {
            (u / a).powi(2) + (v / b).powi(2) + (w / c).powi(2) < 1.0
        };
        let mut signal = 0.0;
        for (axes, inner) in shells {
            if inside(axes, [x, y, z]) {
                signal = inner;
            }
        }
        // Two ventricles beside the middle, a cerebellum behind, a face that is mostly air.
        if inside([9.0, 2.0, 3.0], [x, y.abs() - 3.0, z - 3.0]) {
            signal = 0.25;
        }
        if inside([5.0, 8.0, 4.0], [x + 13.0, y, z + 8.0]) {
            signal = 0.7;
        }
        if inside([5.0, 5.0, 6.0], [x - 19.0, y, z + 10.0]) {
            signal = 0.0;
        }
        signal
    });
}
