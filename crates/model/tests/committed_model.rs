//! The model that is committed does what its card says, through the real preprocessing.

use ovomesh_imaging::{Header, Scratch, VolumeView, prepare};
use ovomesh_model::manifest::ModelId;
use ovomesh_model::model::{Model, Precision, Scores};
use ovomesh_phantom::{Class, Grid, Phantom, Profile, Renderer, Scanner, rng};
use std::path::Path;
use tch::{Device, Kind, Tensor};

const VOLUME_BYTES: usize = 16 * 48 * 48;
/// Enough to tell 90 % from the 99 % of the card: fewer than 72 of 80 right has a chance of 1e-6 then.
const EGGS: u64 = 80;

fn load(precision: Precision) -> Model {
    // As a worker of the service: with more threads the work on a batch is cut up at places that depend on the batch.
    tch::set_num_threads(1);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let id: ModelId = "egg-pose/0.3.1".parse().expect("it is an id");
    Model::load(&repository, &id, Device::Cpu, precision).expect("the committed model loads")
}

/// Living eggs that no training set holds (those are made from seeds of another kind), prepared: half of them nominal, half
/// in any pose.
fn eggs() -> Vec<(Class, Vec<u8>)> {
    let grid = Grid::STANDARD;
    let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
    let (mut renderer, mut scratch) = (Renderer::new(&grid), Scratch::default());
    let mut egg = |seed: u64| {
        let class = if seed.is_multiple_of(2) { Class::Female } else { Class::Male };
        let profile = if seed < EGGS / 2 { Profile::nominal() } else { Profile::hard() };
        let clean = renderer.render(&Phantom::new(&profile, class, seed));
        let mut raw = vec![0; grid.bytes()];
        Scanner::default().acquire_into(&clean, &mut rng(seed), &mut raw);
        let volume = VolumeView::new(header, &raw).expect("a phantom is a valid volume");
        (class, prepare(&volume, &mut scratch).samples)
    };
    (0..EGGS).map(&mut egg).collect()
}

fn run(model: &Model, volumes: &[&[u8]]) -> Vec<Scores> {
    let _no_grad = tch::no_grad_guard();
    let input = Tensor::from_data_size(&volumes.concat(), &[volumes.len() as i64, 16, 48, 48], Kind::Uint8);
    model.run(&input, volumes.len()).expect("the committed model runs")
}

#[test]
fn both_files_find_the_sex_of_nine_phantoms_in_ten_however_they_lie() {
    let eggs = eggs();
    for precision in [Precision::Fp32, Precision::Bf16] {
        let model = load(precision);
        let is_right = |(class, samples): &&(Class, Vec<u8>)| {
            let scores = run(&model, &[samples])[0];
            let sex = if scores.female > scores.male { Class::Female } else { Class::Male };
            sex == *class && scores.gonads_mm.is_some() && scores.strangeness < 2.0
        };
        let right = eggs.iter().filter(is_right).count();
        assert!(right * 10 >= eggs.len() * 9, "{precision}: {right} of {}", eggs.len());
    }
}

#[test]
fn a_mirror_image_is_strange_or_leaves_the_model_in_doubt() {
    let slice = VOLUME_BYTES / 16;
    let model = load(Precision::Fp32);
    let is_taken_for_an_egg = |(_, samples): &&(Class, Vec<u8>)| {
        let mirrored: Vec<u8> = samples.chunks_exact(slice).rev().flatten().copied().collect();
        let scores = run(&model, &[&mirrored])[0];
        let sure = scores.female.max(scores.male) / (scores.female + scores.male);
        scores.strangeness <= 1.0 && sure >= 0.95
    };
    // The card has the exact figure, from more images.
    let taken = eggs().iter().filter(is_taken_for_an_egg).count();
    assert!(taken * 20 <= EGGS as usize, "{taken} of {EGGS}");
}

#[test]
fn noise_is_strange() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = std::iter::repeat_with(&mut next).take(VOLUME_BYTES).collect();
    for precision in [Precision::Fp32, Precision::Bf16] {
        let strangeness = run(&load(precision), &[&noise])[0].strangeness;
        assert!(strangeness > 1.0, "{precision}: {strangeness}");
    }
}

#[test]
fn in_one_batch_size_a_volume_gets_the_same_bits_wherever_and_beside_whatever_it_lies() {
    let eggs = eggs();
    let blank = vec![0; VOLUME_BYTES];
    for precision in [Precision::Fp32, Precision::Bf16] {
        let model = load(precision);
        for bucket in [2, 4, 8, 16] {
            let padded: Vec<&[u8]> =
                (0..bucket).map(|at| if at == 0 { &eggs[0].1 } else { &blank }).map(Vec::as_slice).collect();
            let expected = run(&model, &padded)[0];
            for place in 0..bucket {
                let crowd: Vec<&[u8]> =
                    (0..bucket).map(|at| eggs[if at == place { 0 } else { at + 1 }].1.as_slice()).collect();
                assert_eq!(run(&model, &crowd)[place], expected, "{precision}, place {place} of {bucket}");
            }
        }
    }
}
