//! Trainings that are made only to be compared: other seeds, and preprocessing without one of its steps.

use crate::measure::Meter;
use crate::recipe::Recipe;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a training gave, at the nominal SNR under the released policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Study {
    /// What is different about it.
    pub(crate) name: String,
    /// How it was trained.
    pub(crate) recipe: Recipe,
    /// Nominal eggs: right of those called FEMALE or MALE, living ones that were called neither, and sex right with
    /// nothing withheld. Shares.
    pub(crate) nominal: [f64; 3],
    /// Eggs of the hard profile.
    pub(crate) hard: [f64; 3],
    pub(crate) small: [f64; 3],
}

/// All studies of a model, beside it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Studies {
    #[serde(default)]
    study: Vec<Study>,
}

const FILE: &str = "studies.toml";

impl Study {
    pub(crate) fn of(name: &str, recipe: &Recipe, meter: &Meter<'_>) -> Result<Self> {
        let [nominal, hard, small] = meter.short(recipe.without)?;
        Ok(Self { name: name.to_owned(), recipe: recipe.clone(), nominal, hard, small })
    }
}

/// The studies in a model's folder.
pub(crate) fn read(folder: &Path) -> Result<Vec<Study>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let studies: Studies = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(studies.study)
}

/// Adds a study, instead of one of the same name.
pub(crate) fn add(folder: &Path, study: Study) -> Result<()> {
    let mut studies = read(folder)?;
    studies.retain(|other| other.name != study.name);
    studies.push(study);
    studies.sort_by(|a, b| a.name.cmp(&b.name));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(FILE);
    let head = "# Written by `cargo xtask train -- --study NAME`; the card reads it.\n";
    let text = format!("{head}{}", toml::to_string(&Studies { study: studies })?);
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Widths;

    fn study(name: &str, nominal: f64) -> Study {
        let recipe = Recipe {
            widths: Widths::SMALL,
            seed: 1,
            steps: 2,
            batch: 3,
            eggs: 4,
            chapters: 1,
            rate: 0.1,
            snr: (8.0, 60.0),
            bf16: true,
            without: None,
        };
        Study { name: name.to_owned(), recipe, nominal: [nominal; 3], hard: [0.5; 3], small: [0.5; 3] }
    }

    #[test]
    fn a_study_made_again_replaces_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, nominal) in [("b", 0.1), ("a", 0.2), ("b", 0.3)] {
            add(folder.path(), study(name, nominal)).expect("it is written");
        }
        let found: Vec<(String, f64)> = read(folder.path())
            .expect("it is read")
            .into_iter()
            .map(|study| (study.name, study.nominal[0]))
            .collect();
        assert_eq!(found, [("a".to_owned(), 0.2), ("b".to_owned(), 0.3)]);
    }
}
