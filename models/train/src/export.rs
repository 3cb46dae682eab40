//! Writes the model repository: TorchScript by tracing, and the manifest that names the files.

use crate::input::{INPUT, SPACING_MM};
use crate::judge::Judge;
use crate::net::{Net, Widths};
use anyhow::{Context, Result};
use ovomesh_model::manifest::{Manifest, ModelFile, ModelId, OUTPUTS};
use ovomesh_model::model::hex;
use sha2::{Digest, Sha256};
use std::path::Path;
use tch::nn::VarStore;
use tch::{CModule, Device, Kind, Tensor};

/// Batch of the example that is traced; any other size runs as well.
const EXAMPLE: i64 = 2;

/// The net of these weights, folded, for serving in `kind`.
pub(crate) fn served(weights: &VarStore, widths: Widths, kind: Kind) -> Result<Net> {
    let mut vars = VarStore::new(Device::Cpu);
    let mut net = Net::new(&vars.root(), widths, kind);
    vars.copy(weights).context("both stores hold the same net")?;
    // A trace refuses tensors that want gradients.
    vars.freeze();
    let _no_grad = tch::no_grad_guard();
    net.fold(kind);
    Ok(net)
}

/// Numbers that were learnt: all but the running statistics of normalisations.
pub(crate) fn learnt(weights: &VarStore) -> usize {
    let is_statistic = |name: &str| name.ends_with(".mean") || name.ends_with(".variance");
    weights.variables().iter().filter(|(name, _)| !is_statistic(name)).map(|(_, weight)| weight.numel()).sum()
}

/// Traces the judge into `folder/file`.
fn write(folder: &Path, file: &str, judge: &Judge<'_>) -> Result<ModelFile> {
    let _no_grad = tch::no_grad_guard();
    let [z, y, x] = INPUT;
    let example = Tensor::zeros([EXAMPLE, z, y, x], (Kind::Uint8, Device::Cpu));
    let mut forward = |inputs: &[Tensor]| vec![judge.judge(&inputs[0])];
    let mut module = CModule::create_by_tracing("EggPose", "forward", &[example], &mut forward)?;
    module.set_eval();
    let path = folder.join(file);
    module.save(&path).with_context(|| path.display().to_string())?;
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(ModelFile { file: file.to_owned(), sha256: hex(&Sha256::digest(&bytes)) })
}

/// Writes both files of a model into its folder and returns what `model.toml` must say of them. `calibrated` holds all that
/// the model says beside its net.
pub(crate) fn export(
    folder: &Path,
    id: &ModelId,
    weights: &VarStore,
    widths: Widths,
    calibrated: Judge<'_>,
) -> Result<Manifest> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let half = served(weights, widths, Kind::BFloat16)?;
    let fp32 = write(folder, "model.pt", &calibrated)?;
    let bf16 = write(folder, "model-bf16.pt", &Judge { net: &half, ..calibrated })?;
    Ok(Manifest {
        name: id.name.clone(),
        version: id.version.clone(),
        input: INPUT.map(|samples| samples as usize),
        spacing_mm: SPACING_MM.map(|mm| mm as f32),
        outputs: OUTPUTS.map(str::to_owned).to_vec(),
        fp32,
        bf16: Some(bf16),
    })
}
