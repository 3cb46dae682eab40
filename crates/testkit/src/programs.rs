//! Where the programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// A folder with the programs of ovomesh, and the models they use.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    models: PathBuf,
    model: Option<String>,
}

impl Programs {
    /// Programs in `folder`, with the committed models.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), models: repository().join("models"), model: None }
    }

    /// The same with another model: `NAME/VERSION` in the folder `models`.
    #[must_use]
    pub fn with_model(self, models: PathBuf, model: String) -> Self {
        Self { models, model: Some(model), ..self }
    }

    /// The folder that cargo built this very program or test into.
    pub fn beside_this_one() -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        // A test is in target/PROFILE/deps, a program in target/PROFILE.
        let folder = this.parent().context("a program is in a folder")?;
        let folder =
            if folder.ends_with("deps") { folder.parent().context("deps is in a folder")? } else { folder };
        Ok(Self::in_folder(folder))
    }

    /// A command for one of them.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let path = self.folder.join(program);
        anyhow::ensure!(path.exists(), "{} is not built: `cargo xtask build` builds it", path.display());
        Ok(Command::new(path))
    }

    /// The folder of the models that inference loads.
    pub fn models(&self) -> &Path {
        &self.models
    }

    /// Flags with the model that inference loads.
    pub fn model_flags(&self) -> Vec<String> {
        let folder = ["--models".to_owned(), self.models.display().to_string()];
        let model = self.model.iter().flat_map(|model| ["--model".to_owned(), model.clone()]);
        folder.into_iter().chain(model).collect()
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.ancestors().nth(2).unwrap_or(crate_folder).to_owned()
}
