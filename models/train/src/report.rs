//! All that is known about a trained model, as the tables of `model.toml`.

use crate::export;
use crate::measure::{Measured, NOMINAL_SNR};
use crate::recipe::Recipe;
use crate::speed::Speed;
use crate::study::{self, Study};
use crate::unknown::Unknown;
use anyhow::{Context, Result};
use ovomesh_api::policy::Policy;
use ovomesh_model::manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;
use tch::nn::VarStore;

/// Its fields are the tables of `model.toml`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) manifest: Manifest,
    /// Made by which program, from what.
    pub(crate) provenance: Provenance,
    /// How it was trained.
    pub(crate) training: Recipe,
    /// The policy that was measured with.
    pub(crate) policy: Thresholds,
    /// On phantoms, mostly of the fp32 file.
    pub(crate) measured: Measured,
    /// Images that are no eggs.
    pub(crate) unknown: Vec<Unknown>,
    /// On the machine that trained it.
    pub(crate) speed: Vec<Speed>,
    /// Other trainings, in a file of their own.
    #[serde(skip)]
    pub(crate) studies: Vec<Study>,
}

/// Made by which program, from what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Provenance {
    /// The trainer and its version.
    pub(crate) trainer: String,
    /// What it learnt from.
    pub(crate) data: String,
    /// Version of the preprocessing that it was trained behind; it must be served behind the same.
    pub(crate) preprocess: String,
    /// Weights of the net, without calibration and strangeness.
    pub(crate) weights: usize,
    /// What logits of the kind of egg are divided by.
    pub(crate) temperature: f64,
    /// Minutes of processor time that the training took, eggs included, on the machine that trained it.
    pub(crate) training_cpu_minutes: f64,
}

/// What the released policy asks for, out of what mistakes cost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Thresholds {
    pub(crate) policy: String,
    /// Cost of a culled female, a hatched male and a withheld egg.
    pub(crate) costs: [f32; 3],
    /// Called FEMALE from this P(female | living) on.
    pub(crate) female_at: f32,
    /// Called MALE from this P(male | living) on.
    pub(crate) male_at: f32,
    /// Below this SNR a mistake costs more, and both are higher.
    pub(crate) clear_snr: f32,
    /// Not an egg above this strangeness.
    pub(crate) max_strangeness: f32,
}

impl Provenance {
    /// Of a training that just ended.
    pub(crate) fn new(weights: &VarStore, cpu_seconds: f64, temperature: f64) -> Self {
        Self {
            trainer: format!("ovomesh-train {}, tch 0.26, torch 2.13", env!("CARGO_PKG_VERSION")),
            data: "ovomesh-phantom: 45 % hard, 30 % nominal, 10 % hard with small gonads, 15 % small"
                .to_owned(),
            preprocess: ovomesh_imaging::VERSION.to_owned(),
            weights: export::learnt(weights),
            temperature,
            training_cpu_minutes: (cpu_seconds / 60.0).round(),
        }
    }
}

impl Thresholds {
    pub(crate) fn of(policy: &Policy) -> Self {
        let costs = &policy.costs;
        Self {
            policy: policy.name.clone(),
            costs: [costs.culled_female, costs.hatched_male, costs.withheld],
            female_at: costs.female_at(),
            male_at: costs.male_at(),
            clear_snr: policy.clear_snr,
            max_strangeness: policy.max_strangeness,
        }
    }
}

impl Report {
    /// The text of `model.toml`.
    pub(crate) fn toml(&self) -> Result<String> {
        let head = "# Written by the trainer, measured on phantoms: nothing here says anything about real eggs. CARD.md explains.\n\
                    # Shares are [hits, of so many].\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }

    /// What [`Report::toml`] wrote.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("model.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let report: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Self { studies: study::read(folder)?, ..report })
    }

    /// A few lines for the terminal.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for set in &self.measured.cases {
            let figures = &set.figures;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}, SNR {}: called right {}, undecided {:.1} %, nothing withheld {:.4}",
                set.eggs,
                set.snr,
                figures.called_right,
                100.0 * figures.undecided.value(),
                figures.sex_right.value()
            );
        }
        text
    }

    /// The set of these eggs at the nominal SNR.
    pub(crate) fn nominal_snr(&self, eggs: &str) -> Option<&crate::measure::EggSet> {
        self.measured.cases.iter().find(|set| set.eggs == eggs && set.snr == NOMINAL_SNR)
    }
}
