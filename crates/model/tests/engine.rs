//! The engine keeps its promises with a real libtorch and a toy model.

mod common;

use common::{VOLUME_BYTES, config, uniform, write_toy_model};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use ovomesh_model::model::Precision;
use ovomesh_model::{Engine, EngineConfig, EngineError, Inferred, Work};
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Answer = Result<Inferred, EngineError>;

fn start(change: impl FnOnce(&mut EngineConfig)) -> (Engine, TempDir) {
    let repository = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(repository.path(), write_toy_model(repository.path()));
    change(&mut config);
    (Engine::start(config).expect("the toy model starts"), repository)
}

/// Queues all of it before any answer is awaited.
fn submit_all(engine: &Engine, works: impl Iterator<Item = Work>) -> Vec<BoxFuture<'static, Answer>> {
    works.map(|work| engine.infer(work).boxed()).collect()
}

#[tokio::test]
async fn every_call_gets_the_scores_of_its_own_volume() {
    let (engine, _repository) = start(|config| config.threads = 2);
    let answers = join_all(submit_all(&engine, (0..60).map(uniform))).await;
    for (sample, answer) in (0_u8..).zip(answers) {
        let inferred = answer.expect("the toy model judges it");
        let expected = 0.9 * f32::from(sample) / 255.0;
        assert!((inferred.scores.female - expected).abs() < 1e-4, "{sample}: {inferred:?}");
        assert!([1, 2, 4, 8].contains(&inferred.batch));
        let gonads = inferred.scores.gonads_mm.expect("an embryo is likelier than none");
        assert_eq!(gonads, [30.0, 20.0, 7.0 * 2.8]);
    }
}

#[tokio::test]
async fn a_call_that_must_be_alone_is_computed_alone() {
    let (engine, _repository) = start(|_| ());
    let works = (0..20).map(|index| Work { alone: index % 5 == 0, ..uniform(index) });
    let answers = join_all(submit_all(&engine, works)).await;
    for (index, answer) in answers.into_iter().enumerate() {
        let batch = answer.expect("the toy model judges it").batch;
        assert!(index % 5 != 0 || batch == 1, "call {index} was in a batch of {batch}");
    }
}

#[tokio::test]
async fn an_expired_call_is_answered_expired() {
    let (engine, _repository) = start(|_| ());
    let late = Work { deadline: Some(Instant::now()), ..uniform(1) };
    assert!(matches!(engine.infer(late).await, Err(EngineError::Expired)));
    assert!(engine.infer(uniform(1)).await.is_ok());
}

/// A volume whose first sample the toy model cannot bear.
fn poison(first: u8) -> Work {
    let mut samples = vec![0; VOLUME_BYTES];
    samples[0] = first;
    Work { samples: samples.into(), deadline: None, alone: false }
}

#[tokio::test]
async fn a_batch_that_fails_is_answered_and_the_next_one_works() {
    let (engine, _repository) = start(|_| ());
    let error = engine.infer(poison(254)).await.expect_err("libtorch fails");
    assert!(matches!(error, EngineError::Failed { .. }), "{error}");
    assert!(!error.to_string().contains("not finite"), "{error}");
    assert!(engine.infer(uniform(9)).await.is_ok());
}

#[tokio::test]
async fn a_volume_that_fails_does_so_alone_in_a_batch_of_many() {
    let (engine, _repository) = start(|_| ());
    let works = (0..20).map(|index| if index % 5 == 0 { poison(255) } else { uniform(index) });
    let answers = join_all(submit_all(&engine, works)).await;
    assert!(answers.iter().flatten().any(|inferred| inferred.batch > 1), "none shared a batch");
    for (index, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(_) => assert!(index % 5 != 0, "call {index} is poison"),
            Err(error) => {
                assert!(index % 5 == 0, "call {index}: {error}");
                assert!(error.to_string().contains("not finite"), "{error}");
            }
        }
    }
    assert!(engine.infer(uniform(9)).await.is_ok());
}

#[tokio::test]
async fn a_volume_of_the_wrong_size_is_refused_with_both_sizes() {
    let (engine, _repository) = start(|_| ());
    let short = Work { samples: vec![0; 7].into(), deadline: None, alone: false };
    let error = engine.infer(short).await.expect_err("7 bytes are no volume");
    assert!(error.to_string().contains("has 7 bytes, the model reads 36864"), "{error}");
}

#[tokio::test]
async fn past_the_limit_calls_are_refused_and_the_others_answered() {
    let (engine, _repository) = start(|config| config.policy.limit = 2);
    let answers = join_all(submit_all(&engine, (0..200).map(|_| uniform(3)))).await;
    let refused =
        answers.iter().filter(|answer| matches!(answer, Err(EngineError::Full { limit: 2 }))).count();
    let judged = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(refused > 0, "200 calls at once fit into a queue of 2");
    assert_eq!(refused + judged, 200);
}

#[tokio::test]
async fn stopping_answers_whatever_waits() {
    let (engine, _repository) = start(|config| config.policy.limit = 1000);
    let answers = submit_all(&engine, (0..500).map(|_| uniform(3)));
    drop(engine);
    let answers =
        tokio::time::timeout(Duration::from_secs(60), join_all(answers)).await.expect("nobody is forgotten");
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(EngineError::Stopped))));
}

#[test]
fn a_changed_model_file_is_not_loaded() {
    let repository = tempfile::tempdir().expect("a temporary folder");
    let model = write_toy_model(repository.path());
    let file = repository.path().join("toy/1/model.pt");
    let mut bytes = std::fs::read(&file).expect("it was just written");
    bytes.push(0);
    std::fs::write(&file, bytes).expect("the test may write its folder");
    let error = Engine::start(config(repository.path(), model)).expect_err("it was changed");
    assert!(matches!(&error, EngineError::Checksum { path, .. } if *path == file), "{error}");
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let repository = tempfile::tempdir().expect("a temporary folder");
    let config = config(repository.path(), "egg-pose/9.9.9".parse().expect("it is an id"));
    let error = Engine::start(config).expect_err("the folder is empty");
    assert!(error.to_string().contains("egg-pose/9.9.9/model.toml"), "{error}");
}

#[test]
fn a_precision_that_the_model_does_not_have_is_an_error_only_for_who_insists_on_it() {
    let repository = tempfile::tempdir().expect("a temporary folder");
    let model = write_toy_model(repository.path());
    let insisting = EngineConfig { precision: Precision::Bf16, ..config(repository.path(), model.clone()) };
    assert!(matches!(Engine::start(insisting), Err(EngineError::Manifest { .. })));
    let engine = Engine::start(config(repository.path(), model)).expect("auto takes what is there");
    assert_eq!(engine.provenance().precision, Precision::Fp32);
}
