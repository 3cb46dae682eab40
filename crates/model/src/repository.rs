//! Where models are, when no flag names their folder.

use std::path::{Path, PathBuf};

use crate::error::EngineError;
use crate::manifest::ModelId;

/// Folders above the program's own that may hold models: a program or example that was just built is in
/// `target/release/examples` of the repository.
const ABOVE: usize = 3;
/// Where packages of a distribution put what is the same on every machine.
const SHARED: &str = "/usr/share/ovomesh/models";

/// The first folder of models that has this one: `models` beside the program, in the three folders above it, or in the
/// current folder, else `/usr/share/ovomesh/models`.
///
/// # Errors
/// No folder has it; names them all.
pub fn find(id: &ModelId) -> Result<PathBuf, EngineError> {
    let program = std::env::current_exe().unwrap_or_default();
    let folders = candidates(&program);
    let found = folders.iter().find(|folder| manifest(folder, id).is_file()).cloned();
    found.ok_or_else(|| EngineError::NotFound { model: id.to_string(), folders })
}

/// The `model.toml` of a model in a folder of models.
pub(crate) fn manifest(folder: &Path, id: &ModelId) -> PathBuf {
    folder.join(&id.name).join(&id.version).join("model.toml")
}

fn candidates(program: &Path) -> Vec<PathBuf> {
    let beside_and_above = program.ancestors().skip(1).take(1 + ABOVE).map(|folder| folder.join("models"));
    beside_and_above.chain(["models", SHARED].map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_looked_for_beside_the_program_first_and_shared_last() {
        assert_eq!(
            candidates(Path::new("/o/target/release/ovomeshd")),
            [
                "/o/target/release/models",
                "/o/target/models",
                "/o/models",
                "/models",
                "models",
                "/usr/share/ovomesh/models"
            ]
            .map(PathBuf::from)
        );
        assert_eq!(candidates(Path::new("/ovomeshd"))[0], Path::new("/models"));
    }

    #[test]
    fn a_model_that_is_nowhere_names_every_folder() {
        let id = "no-such-model/1".parse().expect("it is an id");
        let error = find(&id).expect_err("nobody has it").to_string();
        assert!(error.contains("no-such-model/1") && error.contains(SHARED), "{error}");
        assert!(error.contains("--models"), "{error}");
    }
}
