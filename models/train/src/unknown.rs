//! Images that are no eggs as the model knows them: none of them may get a confident sex.

use crate::evaluate::Judged;
use crate::net::INPUT;
use crate::prepare::Preparer;
use crate::share::Share;
use anyhow::Result;
use ovomesh_api::pb::scan::v1::Call;
use ovomesh_api::policy::Policy;
use ovomesh_inference::model::Model;
use ovomesh_phantom::{CleanScan, Grid, Library, Scanner, rng, seed_of};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngCore};
use serde::Serialize;
use tch::{Kind, Tensor};

/// What became of one kind of image.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Unknown {
    /// The kind.
    pub(crate) kind: String,
    /// Preprocessing found no egg.
    pub(crate) refused: Share,
    /// The model found it stranger than 99.7 % of eggs.
    pub(crate) strange: Share,
    /// Called FEMALE or MALE under the suggested policy.
    pub(crate) given_a_sex: Share,
}

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
    snr: f64,
    bias: f64,
    spoil: Spoil,
}

fn kinds() -> Vec<Object> {
    let kind = |name, spoil| Object { name, snr: 30.0, bias: Scanner::default().bias, spoil };
    let keep: Spoil = |_, _, _| ();
    vec![
        kind("eggs as they should be", keep),
        Object { snr: 5.0, ..kind("eggs, SNR 5", keep) },
        Object { snr: 3.0, ..kind("eggs, SNR 3", keep) },
        Object { bias: 0.5, ..kind("eggs, twice the coil's field", keep) },
        kind("noise only", |samples, _, _| samples.fill(0.0)),
        kind("uniform and bright", |samples, _, _| samples.fill(OBJECT)),
        kind("a ball of water", |samples, grid, _| ball(samples, grid)),
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
        kind("slices reversed (a mirror image)", |samples, grid, _| {
            *samples = samples.chunks_exact(grid.columns * grid.rows).rev().flatten().copied().collect();
        }),
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

/// Makes and judges `images` of every kind, or a few more to fill the last batch.
pub(crate) fn measure(
    model: &Model,
    eggs: &Library,
    policy: &Policy,
    images: usize,
    seed: u64,
) -> Result<Vec<Unknown>> {
    let judged = |(index, kind): (u64, &Object)| -> Result<Unknown> {
        let judged = judge(model, eggs, kind, images, seed_of(seed_of(seed, 7), index))?;
        let sexes = [Call::Female, Call::Male];
        Ok(Unknown {
            kind: kind.name.to_owned(),
            refused: Share::count(judged.iter().map(|judged| judged.quality.is_none())),
            strange: Share::count(judged.iter().map(|judged| judged.scores.strangeness > 1.0)),
            given_a_sex: Share::count(judged.iter().map(|judged| sexes.contains(&judged.call(policy)))),
        })
    };
    (0..).zip(&kinds()).map(judged).collect()
}

fn judge(model: &Model, eggs: &Library, kind: &Object, images: usize, seed: u64) -> Result<Vec<Judged>> {
    let _no_grad = tch::no_grad_guard();
    let mut random = rng(seed);
    let scanner = Scanner { snr: kind.snr, bias: kind.bias, ..Scanner::default() };
    let mut preparer = Preparer::new(eggs.grid());
    let mut judged = Vec::new();
    while judged.len() < images {
        let mut samples = Vec::new();
        let mut quality = Vec::new();
        for index in judged.len()..judged.len() + BATCH {
            let index = index % eggs.len();
            let mut clean = CleanScan {
                samples: eggs.clean(index),
                grid: *eggs.grid(),
                truth: eggs.truth(index).clone(),
            };
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
            moved: false,
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
