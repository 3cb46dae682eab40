//! Where a training stands, on disk.

use crate::optim::AdamW;
use crate::recipe::Recipe;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;
use tch::nn::VarStore;

/// The checkpoint of one recipe in one folder.
#[derive(Debug)]
pub(crate) struct Checkpoint<'a> {
    folder: PathBuf,
    recipe: &'a Recipe,
}

/// How far a training is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) done: usize,
    /// Seconds of processor time that they took, over all sessions.
    pub(crate) cpu_seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct State {
    recipe: Recipe,
    progress: Progress,
}

const STATE: &str = "checkpoint.json";

impl<'a> Checkpoint<'a> {
    /// Nothing is read or written yet.
    pub(crate) fn new(folder: &Path, recipe: &'a Recipe) -> Self {
        Self { folder: folder.to_owned(), recipe }
    }

    /// Writes all of it. The state is last and replaces the old one at once, so that a broken write is not read.
    pub(crate) fn save(
        &self,
        vars: &VarStore,
        average: &VarStore,
        optimiser: &AdamW,
        progress: Progress,
    ) -> Result<()> {
        std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        let named = |prefix: &'static str, vars: &VarStore| {
            let named =
                vars.variables().into_iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor));
            named.collect::<Vec<_>>()
        };
        let all = [named("now", vars), named("average", average), optimiser.state()].into_iter().flatten();
        let tensors: Vec<_> = all.map(|(name, tensor)| (name, tensor.detach().contiguous())).collect();
        let file = self.folder.join(tensors_file(progress.done));
        Tensor::write_safetensors(&tensors, &file).with_context(|| file.display().to_string())?;
        let state = State { recipe: self.recipe.clone(), progress };
        let temporary = self.folder.join("checkpoint.json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(&state)?)?;
        std::fs::rename(&temporary, self.folder.join(STATE))?;
        self.remove_others(&file);
        Ok(())
    }

    /// Reads how far it is, nowhere when there is no checkpoint. A checkpoint of another recipe is an error.
    pub(crate) fn load(
        &self,
        vars: &VarStore,
        average: &VarStore,
        optimiser: &mut AdamW,
    ) -> Result<Progress> {
        let path = self.folder.join(STATE);
        if !path.exists() {
            return Ok(Progress::default());
        }
        let state: State =
            serde_json::from_slice(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
        ensure!(
            state.recipe == *self.recipe,
            "{} is of another recipe ({:?}); use the same flags, or another --work folder",
            path.display(),
            state.recipe
        );
        let file = self.folder.join(tensors_file(state.progress.done));
        let tensors = Tensor::read_safetensors(&file).with_context(|| file.display().to_string())?;
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let missing = |name: String| anyhow::anyhow!("{} has no tensor {name}", file.display());
        let _no_grad = tch::no_grad_guard();
        for (prefix, vars) in [("now", vars), ("average", average)] {
            for (name, mut tensor) in vars.variables() {
                let name = format!("{prefix}.{name}");
                tensor.copy_(tensors.get(&name).ok_or_else(|| missing(name))?);
            }
        }
        optimiser.restore(&tensors).map_err(missing)?;
        Ok(state.progress)
    }

    /// Older tensors are of no use once the state names newer ones; if one stays it only takes room.
    fn remove_others(&self, keep: &Path) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path != keep && path.extension().is_some_and(|extension| extension == "safetensors") {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn tensors_file(done: usize) -> String {
    format!("step-{done}.safetensors")
}
