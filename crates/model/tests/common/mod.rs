//! A tiny model that is made on the spot, so that these tests need no trained one.

use ovomesh_model::batch::Policy;
use ovomesh_model::device::DeviceChoice;
use ovomesh_model::manifest::{Manifest, ModelFile, ModelId, OUTPUTS};
use ovomesh_model::model::{Precision, hex};
use ovomesh_model::{EngineConfig, Work};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;
use tch::{CModule, Device, Kind, Tensor};

const INPUT: [usize; 3] = [16, 48, 48];
pub(crate) const VOLUME_BYTES: usize = 16 * 48 * 48;

/// Writes `toy/1` into `repository`. It calls bright volumes female: P(female) is 0.9 * mean / 255.
/// When the first sample is 255, P(female) is not a number, which the engine must take as a failure.
pub(crate) fn write_toy_model(repository: &Path) -> ModelId {
    let folder = repository.join("toy/1");
    std::fs::create_dir_all(&folder).expect("the test may write its folder");
    let mut judge = |inputs: &[Tensor]| {
        let _no_grad = tch::no_grad_guard();
        let flat = inputs[0].to_kind(Kind::Float).reshape([-1, VOLUME_BYTES as i64]);
        // 1 for all first samples but 255, for which it is 1 / 0 * 0.
        let away: Tensor = 255.0 - flat.slice(1, 0, 1, 1);
        let poison = away.reciprocal() * away;
        // A first sample of 254 asks for the second of one: libtorch fails, for the whole batch.
        let second = flat.slice(1, 0, 1, 1).eq(254.0).to_kind(Kind::Int64).reshape([-1]);
        let poison = poison * Tensor::ones([1, 1], (Kind::Float, Device::Cpu)).index_select(0, &second);
        let female = flat.mean_dim([1_i64].as_slice(), true, Kind::Float) * (0.9 / 255.0) * poison;
        let male = 0.9 - &female;
        let rest = (&female + &male) * 0.0 + 0.05;
        let [z, y, x, strange] = [7.0, 20.0, 30.0, 0.5].map(|number: f64| &female * 0.0 + number);
        vec![Tensor::cat(&[&female, &male, &rest, &rest, &z, &y, &x, &strange], 1)]
    };
    let example = Tensor::zeros([2, 16, 48, 48], (Kind::Uint8, Device::Cpu));
    let module =
        CModule::create_by_tracing("Toy", "forward", &[example], &mut judge).expect("it can be traced");
    let file = folder.join("model.pt");
    module.save(&file).expect("the test may write its folder");
    let sha256 = hex(&Sha256::digest(std::fs::read(&file).expect("it was just written")));
    let manifest = Manifest {
        name: "toy".to_owned(),
        version: "1".to_owned(),
        input: INPUT,
        spacing_mm: [2.8, 1.0, 1.0],
        outputs: OUTPUTS.map(str::to_owned).to_vec(),
        fp32: ModelFile { file: "model.pt".to_owned(), sha256 },
        bf16: None,
    };
    std::fs::write(folder.join("model.toml"), toml::to_string(&manifest).expect("it is plain data"))
        .expect("the test may write its folder");
    "toy/1".parse().expect("it is an id")
}

pub(crate) fn config(repository: &Path, model: ModelId) -> EngineConfig {
    EngineConfig {
        repository: repository.to_owned(),
        model,
        device: DeviceChoice::Cpu,
        precision: Precision::Auto,
        threads: 1,
        policy: Policy { buckets: vec![1, 2, 4, 8], limit: 64, patience: Duration::from_millis(5) },
    }
}

/// A volume whose samples are all the same.
pub(crate) fn uniform(sample: u8) -> Work {
    Work { samples: vec![sample; VOLUME_BYTES].into(), deadline: None, alone: false }
}
