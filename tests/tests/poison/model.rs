//! A model that kills whoever computes it for one image, as a bug in a kernel would.
//!
//! The inference program is the shipped one, without any hook: only its model is made for the test.

use std::path::Path;

use ovomesh_imaging::{Header, Scratch, VolumeView, prepare};
use ovomesh_model::manifest::{Manifest, ModelFile, OUTPUTS};
use ovomesh_model::model::hex;
use sha2::{Digest, Sha256};
use tch::{CModule, Device, Kind, Tensor};

/// Its folder, and what inference is told to load.
pub const MODEL: (&str, &str) = ("mortal", "1");

const INPUT: [usize; 3] = [16, 48, 48];

/// Writes the model into `repository`. It calls every image female, but dies of the images whose samples, prepared, have the
/// same sum as those of `poison`: raw samples of 64 x 64 x 16.
///
/// The division of the smallest integer by -1 is what no processor of the x86 family can do: it raises SIGFPE, which no
/// handler of a language turns into an error.
pub fn write(repository: &Path, poison: &[u8]) {
    let (name, version) = MODEL;
    let folder = repository.join(name).join(version);
    std::fs::create_dir_all(&folder).expect("the test may write its folder");
    let poison = prepared_sum(poison);
    let mut judge = |inputs: &[Tensor]| {
        let _no_grad = tch::no_grad_guard();
        let sums =
            inputs[0].to_kind(Kind::Int64).sum_dim_intlist([1_i64, 2, 3].as_slice(), false, Kind::Int64);
        let divisor: Tensor = 1 - sums.eq(poison).to_kind(Kind::Int64) * 2;
        let smallest = divisor.full_like(i64::MIN);
        let zero = smallest.divide_tensor_mode(&divisor, "trunc").bitwise_right_shift_tensor_scalar(63) + 1;
        let zero = zero.to_kind(Kind::Float).reshape([-1, 1]);
        let columns = [0.97, 0.01, 0.01, 0.01, 7.0, 24.0, 24.0, 0.1].map(|number: f64| &zero + number);
        vec![Tensor::cat(&columns, 1)]
    };
    let example = Tensor::zeros([2, 16, 48, 48], (Kind::Uint8, Device::Cpu));
    let module =
        CModule::create_by_tracing("Mortal", "forward", &[example], &mut judge).expect("it can be traced");
    let file = folder.join("model.pt");
    module.save(&file).expect("the test may write its folder");
    let sha256 = hex(&Sha256::digest(std::fs::read(&file).expect("it was just written")));
    let manifest = Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        input: INPUT,
        spacing_mm: [2.8, 1.0, 1.0],
        outputs: OUTPUTS.map(str::to_owned).to_vec(),
        fp32: ModelFile { file: "model.pt".to_owned(), sha256 },
        bf16: None,
    };
    let text = toml::to_string(&manifest).expect("it is plain data");
    std::fs::write(folder.join("model.toml"), text).expect("the test may write its folder");
}

/// Sum of the samples that inference will see of this image.
fn prepared_sum(raw: &[u8]) -> i64 {
    let header = Header::new([64, 64, 16], [1.0, 1.0, 2.8]);
    let view = VolumeView::new(header, raw).expect("a phantom is a valid volume");
    prepare(&view, &mut Scratch::default()).samples.iter().map(|&sample| i64::from(sample)).sum()
}
