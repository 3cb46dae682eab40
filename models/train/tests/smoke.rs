//! The whole chain runs, and a run that was broken off goes on as if it had not been.

use clap::Parser as _;
use ovomesh_model::manifest::ModelId;
use ovomesh_model::model::{Model, Precision};
use ovomesh_train::{Args, run};
use parking_lot::Mutex;
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn train(folder: &Path, more: &[&str]) {
    let (models, work) = (folder.join("models"), folder.join("work"));
    let paths =
        ["--models", &models.display().to_string(), "--work", &work.display().to_string()].map(str::to_owned);
    let fixed = ["ovomesh-train", "--tiny", "--size", "small", "--batch", "4"].map(str::to_owned);
    let more = more.iter().map(|&flag| flag.to_owned());
    run(&Args::parse_from(fixed.into_iter().chain(paths).chain(more))).expect("the smoke run works");
}

fn load(folder: &Path, precision: Precision) -> Model {
    let id: ModelId = "egg-pose/0.3.1".parse().expect("it is an id");
    Model::load(&folder.join("models"), &id, Device::Cpu, precision).expect("what was trained can be loaded")
}

/// libtorch's random generator is one for the whole process, and the seed of a run is a promise: one run at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_trained_model_is_exported_and_both_files_agree() {
    let _alone = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), &["--steps", "3"]);
    let _no_grad = tch::no_grad_guard();
    tch::manual_seed(1);
    let input = Tensor::randint(256, [5, 16, 48, 48], (Kind::Uint8, Device::Cpu));
    let [full, half] = [Precision::Fp32, Precision::Bf16]
        .map(|precision| load(folder.path(), precision).run(&input, 5).expect("it runs"));
    assert_eq!(full.len(), 5);
    for (full, half) in full.iter().zip(&half) {
        let sum = full.female + full.male + full.infertile + full.dead;
        assert!((sum - 1.0).abs() < 1e-5, "{full:?}");
        assert!(
            (full.female - half.female).abs() < 0.02 && (full.dead - half.dead).abs() < 0.02,
            "{full:?} {half:?}"
        );
    }
    let card = std::fs::read_to_string(folder.path().join("models/egg-pose/0.3.1/CARD.md"))
        .expect("there is a card");
    assert!(card.contains("phantoms only"), "{card}");
}

#[test]
fn the_same_seed_gives_the_same_model_also_when_the_run_was_broken_off() {
    let _alone = ONE_AT_A_TIME.lock();
    let (whole, broken) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    train(whole.path(), &["--steps", "4"]);
    train(broken.path(), &["--steps", "4", "--stop-after", "2"]);
    train(broken.path(), &["--steps", "4", "--resume"]);
    let [whole, broken] = [whole, broken].map(|folder| load(folder.path(), Precision::Fp32).sha256);
    assert_eq!(whole, broken);
}
