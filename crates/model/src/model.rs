//! Loads a model from the repository and runs it on one batch.

use crate::device;
use crate::error::{EngineError, first_line};
use crate::manifest::{Manifest, ModelFile, ModelId, OUTPUTS};
use crate::repository;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tch::{CModule, Device, Tensor};

/// A loaded model. Shared by all workers: running it changes nothing in it.
pub struct Model {
    /// What it is.
    pub manifest: Manifest,
    /// Where it runs.
    pub device: Device,
    /// SHA-256 of the file in use, 64 hex digits.
    pub sha256: String,
    /// Which of the model's files is in use.
    pub precision: Precision,
    path: PathBuf,
    module: CModule,
}

/// Which file of a model to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// bfloat16 on a CPU that multiplies it natively when the model has such a file, else 32-bit floats.
    #[default]
    Auto,
    /// 32-bit floats.
    Fp32,
    /// bfloat16, or no start.
    Bf16,
}

/// What the model says of one scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// P(living female). The four sum to 1.
    pub female: f32,
    /// P(living male).
    pub male: f32,
    /// P(infertile).
    pub infertile: f32,
    /// P(dead embryo).
    pub dead: f32,
    /// Above 1 is stranger than 99.7 % of the training images.
    pub strangeness: f32,
    /// The gonads' midpoint in millimetres along x, y, z from the centre of the input's first sample. None when an
    /// embryo is less likely than none.
    pub gonads_mm: Option<[f32; 3]>,
}

impl Model {
    /// Reads `repository/name/version/model.toml`, checks the file that it names and loads it.
    pub fn load(
        repository: &Path,
        id: &ModelId,
        device: Device,
        precision: Precision,
    ) -> Result<Self, EngineError> {
        let toml = repository::manifest(repository, id);
        let text = String::from_utf8_lossy(&read(&toml)?).into_owned();
        let manifest = Manifest::parse(&text, id)
            .map_err(|reason| EngineError::Manifest { path: toml.clone(), reason })?;
        let (file, precision) = choose(&manifest, device, precision)
            .map_err(|reason| EngineError::Manifest { path: toml.clone(), reason })?;
        let path = toml.with_file_name(&file.file);
        // Hashed and loaded from the same bytes, so that nobody can change the file in between.
        let bytes = read(&path)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if !sha256.eq_ignore_ascii_case(&file.sha256) {
            return Err(EngineError::Checksum { path, expected: file.sha256.clone(), found: sha256 });
        }
        let mut module = CModule::load_data_on_device(&mut bytes.as_slice(), device)
            .map_err(|error| EngineError::Load { path: path.clone(), reason: first_line(&error) })?;
        module.set_eval();
        Ok(Self { manifest, device, sha256, precision, path, module })
    }

    /// Runs one batch of which every result must be one: `input` is u8 `[batch, z, y, x]` in main memory, and the first
    /// `wanted` results are returned. Callers hold a `tch::no_grad_guard`.
    pub fn run(&self, input: &Tensor, wanted: usize) -> Result<Vec<Scores>, EngineError> {
        self.run_each(input, wanted)?.into_iter().collect()
    }

    /// As [`Model::run`], but a volume of which the model says a number that is not finite fails alone: it is not to take
    /// those down that are computed with it.
    pub fn run_each(
        &self,
        input: &Tensor,
        wanted: usize,
    ) -> Result<Vec<Result<Scores, EngineError>>, EngineError> {
        let batch = usize::try_from(input.size().first().copied().unwrap_or(0)).unwrap_or(0);
        let failed = |reason: String| EngineError::Failed { batch, reason };
        let input = match self.device {
            Device::Cpu => input.shallow_clone(),
            device => input.f_to_device(device).map_err(|error| failed(first_line(&error)))?,
        };
        let output = self.module.forward_ts(&[input]).map_err(|error| failed(first_line(&error)))?;
        let numbers = numbers(&output, batch).map_err(failed)?;
        let scores = |row| {
            self.scores(row)
                .ok_or_else(|| failed("the module returned a number that is not finite".to_owned()))
        };
        Ok(numbers.as_chunks().0.iter().take(wanted).map(scores).collect())
    }

    /// The error to report when the model cannot be run at all.
    pub fn load_error(&self, error: &EngineError) -> EngineError {
        EngineError::Load { path: self.path.clone(), reason: error.to_string() }
    }

    /// None when one of the numbers is not finite.
    fn scores(&self, row: &[f32; OUTPUTS.len()]) -> Option<Scores> {
        let &[female, male, infertile, dead, z, y, x, strangeness] = row;
        let [dz, dy, dx] = self.manifest.spacing_mm;
        let has_embryo = female + male > infertile + dead;
        row.iter().all(|number| number.is_finite()).then(|| Scores {
            female,
            male,
            infertile,
            dead,
            strangeness,
            gonads_mm: has_embryo.then_some([x * dx, y * dy, z * dz]),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|source| EngineError::Read { path: path.to_owned(), source })
}

fn choose(
    manifest: &Manifest,
    device: Device,
    precision: Precision,
) -> Result<(&ModelFile, Precision), String> {
    match (precision, &manifest.bf16) {
        (Precision::Bf16, Some(file)) => Ok((file, Precision::Bf16)),
        (Precision::Bf16, None) => Err("it names no bf16 file, so --precision bf16 cannot be had".to_owned()),
        (Precision::Auto, Some(file)) if device == Device::Cpu && device::cpu_has_bf16() => {
            Ok((file, Precision::Bf16))
        }
        (Precision::Auto | Precision::Fp32, _) => Ok((&manifest.fp32, Precision::Fp32)),
    }
}

/// The numbers of the module's result, row by row.
fn numbers(output: &Tensor, batch: usize) -> Result<Vec<f32>, String> {
    let columns = OUTPUTS.len();
    if output.dim() != 2 || output.numel() != batch * columns {
        return Err(format!("the module returned shape {:?}, not {batch} x {columns}", output.size()));
    }
    let flat = output.f_reshape([-1]).map_err(|error| first_line(&error))?;
    Vec::<f32>::try_from(flat).map_err(|error| first_line(&error))
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "fp32" => Ok(Self::Fp32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("`{text}` is not auto, fp32 or bf16")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        })
    }
}
