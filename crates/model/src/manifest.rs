//! `model.toml`: what a model is, which files hold it, and how they are checked.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Name and version of a model, written `name/version`: also its folder in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId {
    /// Such as `egg-pose`.
    pub name: String,
    /// Such as `0.1.0`.
    pub version: String,
}

/// The part of `model.toml` that serving needs. Trainers add tables of their own beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the model, the same as its folder's parent.
    pub name: String,
    /// Version of the model, the same as its folder.
    pub version: String,
    /// Input of one scan, u8: samples along z, y, x.
    pub input: [usize; 3],
    /// Distance of the input's samples in millimetres along z, y, x.
    pub spacing_mm: [f32; 3],
    /// What the columns of the module's result are; see [`OUTPUTS`].
    pub outputs: Vec<String>,
    /// The module in 32-bit floats: runs everywhere.
    pub fp32: ModelFile,
    /// The module in bfloat16, for CPUs that multiply it natively. Same input and outputs (outputs stay 32-bit floats).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<ModelFile>,
}

/// One TorchScript file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelFile {
    /// File name beside `model.toml`.
    pub file: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
}

/// The contract with the module: for a u8 tensor `[N, z, y, x]` it returns one f32 tensor `[N, 8]` with these columns: P(living female),
/// P(living male), P(infertile) and P(dead embryo), which sum to 1; the gonads' midpoint as z, y, x in samples of the
/// input; and how strange the image is, above 1 for stranger than 99.7 % of the training images.
/// (One tensor, because a module that is traced from Rust cannot return a tuple.)
pub const OUTPUTS: [&str; 8] = ["female", "male", "infertile", "dead", "z", "y", "x", "strange"];

impl Manifest {
    /// Reads the text of a `model.toml` that lies in the folder of `id`.
    pub fn parse(text: &str, id: &ModelId) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if (&manifest.name, &manifest.version) != (&id.name, &id.version) {
            return Err(format!("it describes {}/{}, its folder says {id}", manifest.name, manifest.version));
        }
        if manifest.input.contains(&0) || manifest.volume_bytes() > MAX_VOLUME_BYTES {
            return Err(format!("input {:?} is not 1 to {MAX_VOLUME_BYTES} samples", manifest.input));
        }
        if manifest.outputs != OUTPUTS {
            return Err(format!("outputs are {:?}, this program reads {OUTPUTS:?}", manifest.outputs));
        }
        for file in std::iter::once(&manifest.fp32).chain(&manifest.bf16) {
            if Path::new(&file.file).file_name().is_none_or(|name| name != file.file.as_str()) {
                return Err(format!("file `{}` is not a plain file name", file.file));
            }
        }
        Ok(manifest)
    }

    /// Bytes of one input.
    pub fn volume_bytes(&self) -> usize {
        self.input.iter().product()
    }
}

/// A prepared volume is at most this large (see `PreparedVolume` in the contract).
const MAX_VOLUME_BYTES: usize = 64 << 10;

impl FromStr for ModelId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match text.split_once('/') {
            Some((name, version)) if is_part(name) && is_part(version) => {
                Ok(Self { name: name.to_owned(), version: version.to_owned() })
            }
            _ => Err(format!("`{text}` is not name/version, such as egg-pose/0.3.1")),
        }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "egg"
        version = "1"
        input = [16, 48, 48]
        spacing_mm = [2.8, 1.0, 1.0]
        outputs = ["female", "male", "infertile", "dead", "z", "y", "x", "strange"]
        fp32 = { file = "model.pt", sha256 = "00" }
        [training]
        seed = 1
    "#;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text, &"egg/1".parse()?)
    }

    #[test]
    fn a_manifest_with_more_than_serving_needs_is_read() {
        let manifest = parse(TEXT).expect("it is complete");
        assert_eq!(manifest.volume_bytes(), 36_864);
        assert!(manifest.bf16.is_none());
    }

    #[test]
    fn a_manifest_that_does_not_fit_says_why() {
        for (from, to, why) in [
            ("name = \"egg\"", "name = \"hen\"", "its folder says egg/1"),
            ("[16, 48, 48]", "[64, 64, 64]", "is not 1 to 65536 samples"),
            ("\"female\", ", "", "this program reads"),
            ("model.pt", "../model.pt", "not a plain file name"),
            ("model.pt", "..", "not a plain file name"),
            ("sha256", "md5", "sha256"),
        ] {
            let error = parse(&TEXT.replace(from, to)).expect_err(to);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_model_id_stays_inside_the_repository() {
        for text in ["egg", "egg/", "/1", "../1", "a/b/c", "a/..", "egg/1 "] {
            assert!(text.parse::<ModelId>().is_err(), "{text}");
        }
    }
}
