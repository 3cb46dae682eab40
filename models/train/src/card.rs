//! What is written about a model: `model.toml` for programs, `CARD.md` for people, a summary for whoever trained it.

use crate::evaluate::{Figures, WITHHELD};
use crate::speed::Speed;
use crate::train::Recipe;
use crate::unknown::Unknown;
use ovomesh_inference::manifest::Manifest;
use serde::Serialize;
use std::fmt::Write as _;

/// All that is known about a trained model. Its fields are the tables of `model.toml`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What serving needs.
    #[serde(flatten)]
    pub(crate) manifest: Manifest,
    /// Made by which program, from what.
    pub(crate) provenance: Provenance,
    /// How it was trained.
    pub(crate) training: Recipe,
    /// Thresholds for a policy.
    pub(crate) suggested_policy: Suggested,
    /// At each SNR, of the fp32 file.
    pub(crate) accuracy: Vec<Figures>,
    /// At the nominal SNR, of the bf16 file.
    pub(crate) accuracy_bf16: Figures,
    /// Images that are no eggs.
    pub(crate) unknown: Vec<Unknown>,
    /// On the machine that trained it.
    pub(crate) speed: Vec<Speed>,
}

/// Made by which program, from what.
#[derive(Debug, Serialize)]
pub(crate) struct Provenance {
    /// The trainer and its version.
    pub(crate) trainer: String,
    /// What it learnt from.
    pub(crate) data: String,
    /// Version of the preprocessing that it was trained behind; it must be served behind the same.
    pub(crate) preprocess: String,
    /// Weights of the net, without the strangeness.
    pub(crate) weights: usize,
    /// What logits of the kind of egg and of the sex are divided by.
    pub(crate) temperatures: [f64; 2],
    /// Minutes of the training loop, on the machine that trained it and with its other work.
    pub(crate) training_minutes: f64,
}

/// Thresholds that withhold about 3 % of the living eggs at the nominal SNR.
#[derive(Debug, Serialize)]
pub(crate) struct Suggested {
    /// Called FEMALE from this P(female | living) on.
    pub(crate) female_at: f32,
    /// Called MALE from this P(male | living) on.
    pub(crate) male_at: f32,
    /// Not an egg above this strangeness.
    pub(crate) max_strangeness: f32,
}

impl Report {
    /// The text of `model.toml`.
    pub(crate) fn toml(&self) -> Result<String, toml::ser::Error> {
        let head = "# Written by the trainer, measured on phantoms: nothing here says anything about real eggs. CARD.md explains.\n\
                    # Shares are [share, low, high] with their 95 % interval.\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }

    /// A few lines.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for figures in &self.accuracy {
            let (withheld, called) =
                (percent(figures.withheld.value()), percent(figures.called_right.value()));
            line(
                &mut text,
                &format!(
                    "SNR {:2}: sex right {}; withholding {withheld} %, {called} %",
                    figures.snr, figures.sex_right
                ),
            );
        }
        line(
            &mut text,
            &format!("bf16, SNR {}: sex right {}", self.accuracy_bf16.snr, self.accuracy_bf16.sex_right),
        );
        text
    }

    /// The text of `CARD.md`.
    pub(crate) fn card(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.accuracy(&mut text);
        self.calibration(&mut text);
        self.unknown(&mut text);
        self.speed(&mut text);
        text
    }

    fn head(&self, text: &mut String) {
        let Self { manifest, provenance, training, .. } = self;
        line(text, &format!("# {}/{}\n", manifest.name, manifest.version));
        line(
            text,
            "Written by the trainer from the run itself (`cargo xtask train`); change the trainer, not this page.\n",
        );
        line(
            text,
            "**Trained and measured on phantoms only. Nothing here says anything about real eggs.** The phantoms' gonads are",
        );
        line(
            text,
            "larger than life, one anatomy and one scanner model stand for all, and embryos lie nearly alike.\n",
        );
        line(
            text,
            "What it does: from a prepared volume (16 x 48 x 48 samples of 2.8 x 1 x 1 mm, u8) it tells a living female, a living",
        );
        line(
            text,
            "male, an infertile egg and a dead embryo, where the gonads are, and how unlike its training images the image is.",
        );
        line(
            text,
            "It first finds the gonads on a coarse view of the whole egg, then looks at a window of full resolution there.\n",
        );
        line(text, "| | |\n|---|---|");
        line(text, &format!("| weights | {} thousand |", provenance.weights / 1000));
        line(
            text,
            &format!(
                "| learnt from | {} eggs ({}), {} scans with fresh noise, SNR {} to {} |",
                training.eggs,
                provenance.data,
                training.steps * training.batch,
                training.snr.0,
                training.snr.1
            ),
        );
        line(
            text,
            &format!(
                "| training | seed {}, {} steps of {}, {:.0} minutes |",
                training.seed, training.steps, training.batch, provenance.training_minutes
            ),
        );
        line(text, &format!("| trainer | {} |", provenance.trainer));
        line(text, &format!("| preprocessing | {}: serve it behind the same |\n", provenance.preprocess));
    }

    fn accuracy(&self, text: &mut String) {
        let Some(nominal) = self.accuracy.iter().find(|figures| figures.snr == self.accuracy_bf16.snr) else {
            return;
        };
        line(text, "## Accuracy\n");
        line(
            text,
            &format!(
                "{} eggs that nothing was fitted to, {} of them living, scanned once at each SNR (the trunk's signal over the",
                nominal.kind_right.of, nominal.sex_right.of
            ),
        );
        line(
            text,
            "noise; 30 is what is expected of a scanner). In brackets the 95 % interval. A living egg that is taken for",
        );
        line(text, "infertile or dead counts as a wrong sex.\n");
        line(
            text,
            "| SNR | sex right, nothing withheld | kind of egg right | suggested policy withholds | and is right in | centre off, median / 99 % |\n|---|---|---|---|---|---|",
        );
        for f in &self.accuracy {
            line(
                text,
                &format!(
                    "| {} | {} | {} | {} % | {} | {:.2} / {:.2} mm |",
                    f.snr,
                    f.sex_right,
                    f.kind_right,
                    percent(f.withheld.value()),
                    f.called_right,
                    f.centre_mm[0],
                    f.centre_mm[1]
                ),
            );
        }
        let Suggested { female_at, male_at, max_strangeness } = self.suggested_policy;
        line(
            text,
            &format!(
                "\nThe suggested policy calls female from {female_at} and male from {male_at} on, and no sex at all above a strangeness of {max_strangeness}."
            ),
        );
        line(
            text,
            &format!(
                "At SNR {}: {} of eggs that kept still and {} of those that moved; the bf16 file: {}.\n",
                nominal.snr, nominal.sex_right_still, nominal.sex_right_moving, self.accuracy_bf16.sex_right
            ),
        );
        let heads = WITHHELD.map(|withheld| format!("{} %", 100.0 * withheld));
        line(
            text,
            &format!(
                "| withheld, the least sure | {} |\n|---{}|",
                heads.join(" | "),
                "|---".repeat(heads.len())
            ),
        );
        for f in &self.accuracy {
            let kept: Vec<String> = f.keeping_the_surest.iter().map(|right| format!("{right:.4}")).collect();
            line(text, &format!("| sex right at SNR {} | {} |", f.snr, kept.join(" | ")));
        }
        text.push('\n');
    }

    fn calibration(&self, text: &mut String) {
        line(text, "## Calibration\n");
        let [kind, sex] = self.provenance.temperatures;
        line(
            text,
            &format!(
                "Temperatures {kind:.2} (kind of egg) and {sex:.2} (sex), fitted at SNR 20 to 45 on eggs of their own. Expected calibration"
            ),
        );
        let each: Vec<String> =
            self.accuracy.iter().map(|f| format!("{:.4} at SNR {}", f.calibration_error, f.snr)).collect();
        line(text, &format!("error of the surest class, ten bins: {}.\n", each.join(", ")));
    }

    fn unknown(&self, text: &mut String) {
        line(text, "## Images that are no eggs as it knows them\n");
        line(
            text,
            "Shares of 300 or so images of each kind: refused by preprocessing, strange to the model (above 1), and called female or",
        );
        line(text, "male under the suggested policy after both.\n");
        line(text, "| kind | refused | strange | given a sex |\n|---|---|---|---|");
        for unknown in &self.unknown {
            let [refused, strange, given] =
                [unknown.refused, unknown.strange, unknown.given_a_sex].map(|share| percent(share.value()));
            line(text, &format!("| {} | {refused} % | {strange} % | {given} % |", unknown.kind));
        }
        text.push('\n');
    }

    fn speed(&self, text: &mut String) {
        line(text, "## Speed\n");
        line(
            text,
            "Microseconds of one core for each scan on the machine that trained it, the best of five rounds.\n",
        );
        let batches: Vec<&Speed> = self.speed.iter().filter(|speed| speed.precision == "fp32").collect();
        let heads: Vec<String> = batches.iter().map(|speed| format!("batch {}", speed.batch)).collect();
        line(text, &format!("| | {} |\n|---{}|", heads.join(" | "), "|---".repeat(heads.len())));
        for precision in ["fp32", "bf16"] {
            let of_it = self.speed.iter().filter(|speed| speed.precision == precision);
            let each: Vec<String> = of_it.map(|speed| format!("{}", speed.us_per_scan)).collect();
            line(text, &format!("| {precision} | {} |", each.join(" | ")));
        }
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}
