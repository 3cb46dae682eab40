//! The decision: from scores and quality to a call. One pure function, so that a replay can repeat it.

use serde::{Deserialize, Serialize};

use crate::pb::scan::v1 as pb;
use crate::texts::POLICY;
use crate::{Call, Reason};

/// What a line's mistakes cost, and the limits of what may be judged at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Name and revision, recorded with each verdict: at most 128 bytes.
    pub name: String,
    /// What the three mistakes cost: they set how sure a call of a sex must be.
    pub costs: Costs,
    /// In an image with less signal to noise than this, a mistake costs as many times more as the noise is stronger: the
    /// noisier, the less a model's probabilities may be relied on (its card shows small gonads, of whose calls at SNR 10 too
    /// many are wrong). 0: never.
    pub clear_snr: f32,
    /// Called NO_EMBRYO when P(infertile) + P(dead) is at least this, 0.5 to 1.
    pub no_embryo_at: f32,
    /// A sex is called only when P(living) is at least this, 0 to 1.
    pub living_at: f32,
    /// Stranger than this is NOT_AN_EGG; 1 is the 99.7 % quantile of the training images.
    pub max_strangeness: f32,
    /// Noisier than this is a POOR_IMAGE.
    pub min_snr: f32,
    /// More ghosting than this (in units of the noise) is a POOR_IMAGE.
    pub max_motion: f32,
    /// Less of the egg inside the image than this is a POOR_IMAGE, 0 to 1.
    pub min_coverage: f32,
    /// More clipped samples than this is a POOR_IMAGE, 0 to 1.
    pub max_clipped: f32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name: "default/4".into(),
            costs: Costs::default(),
            clear_snr: 27.0,
            no_embryo_at: 0.80,
            living_at: 0.80,
            max_strangeness: 1.0,
            min_snr: 4.0,
            max_motion: 40.0,
            min_coverage: 0.90,
            max_clipped: 0.05,
        }
    }
}

/// What each mistake costs, all in one unit of the user's choice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Costs {
    /// A female called MALE: the hen is lost.
    pub culled_female: f32,
    /// A male called FEMALE: a chick hatches that nobody wants.
    pub hatched_male: f32,
    /// A living embryo called UNDECIDED, whatever its sex: at most half of either of the others.
    pub withheld: f32,
}

impl Default for Costs {
    /// An assumption until a hatchery states its own: a mistake in either direction is as bad as 6 eggs withheld.
    fn default() -> Self {
        Self { culled_female: 6.0, hatched_male: 6.0, withheld: 1.0 }
    }
}

impl Costs {
    /// The costs under which a sex is called from these probabilities on, 0.5 to below 1.
    pub fn calling_from(female_at: f32, male_at: f32) -> Self {
        Self { culled_female: 1.0 / (1.0 - male_at), hatched_male: 1.0 / (1.0 - female_at), withheld: 1.0 }
    }

    /// FEMALE is called when P(female | living) is at least this: from there on the expected cost of the call,
    /// (1 - p) * `hatched_male`, is no more than that of none.
    pub fn female_at(&self) -> f32 {
        1.0 - self.withheld / self.hatched_male
    }

    /// MALE is called when P(male | living) is at least this; as [`Costs::female_at`].
    pub fn male_at(&self) -> f32 {
        1.0 - self.withheld / self.culled_female
    }

    /// The same with dearer mistakes.
    fn times(self, factor: f32) -> Self {
        let [culled_female, hatched_male] = [self.culled_female, self.hatched_male].map(|cost| cost * factor);
        Self { culled_female, hatched_male, ..self }
    }

    fn check(&self) -> Result<(), String> {
        let all = [
            ("withheld", self.withheld),
            ("culled_female", self.culled_female),
            ("hatched_male", self.hatched_male),
        ];
        for (field, value) in all {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("policy.costs.{field} is {value}; it must be a finite number above 0"));
            }
        }
        let [(_, withheld), mistakes @ ..] = all;
        for (field, value) in mistakes {
            // Below that, a guess would be called, and both sexes at once.
            if value < 2.0 * withheld {
                return Err(format!(
                    "policy.costs.{field} is {value}; it must be at least twice policy.costs.withheld, {withheld}"
                ));
            }
        }
        Ok(())
    }
}

impl Policy {
    /// Whether the image can be judged at all, before the model is asked.
    pub fn judge_quality(&self, quality: &pb::Quality) -> Option<Call> {
        let poor = |what: &str, value: f32, limit: &str, bound: f32| {
            let detail = format!("{what} {value:.2} is {limit} {bound:.2}");
            Some(Call::Undecided(Reason::PoorImage, detail))
        };
        // Each comparison is false for NaN, so that a quality that is no number is poor.
        if !at_least(quality.snr, self.min_snr) {
            poor("signal to noise", quality.snr, "below", self.min_snr)
        } else if !at_most(quality.motion, self.max_motion) {
            poor("motion", quality.motion, "above", self.max_motion)
        } else if !at_least(quality.coverage, self.min_coverage) {
            poor("coverage of the egg", quality.coverage, "below", self.min_coverage)
        } else if !at_most(quality.clipped, self.max_clipped) {
            poor("share of clipped samples", quality.clipped, "above", self.max_clipped)
        } else {
            None
        }
    }

    /// What mistakes cost in an image of this signal to noise: without bound where it is none.
    pub fn costs_at(&self, snr: f32) -> Costs {
        let noisier = if snr > 0.0 { self.clear_snr / snr } else { f32::INFINITY };
        self.costs.times(noisier.max(1.0))
    }

    /// The call for what the model said of an image of good quality.
    pub fn decide(&self, scores: &pb::Scores, quality: &pb::Quality) -> Call {
        if !at_most(scores.strangeness, self.max_strangeness) {
            let detail =
                format!("strangeness {:.2} is above {:.2}", scores.strangeness, self.max_strangeness);
            return Call::Undecided(Reason::NotAnEgg, detail);
        }
        let living = scores.female + scores.male;
        let no_embryo = scores.infertile + scores.dead;
        let Some(female) = p_female(scores) else {
            return Call::Undecided(Reason::Failed, "the model's scores are not numbers".into());
        };
        let costs = self.costs_at(quality.snr);
        let (lowest, highest) = (1.0 - costs.male_at(), costs.female_at());
        let unsure = |detail| Call::Undecided(Reason::LowConfidence, detail);
        if no_embryo >= self.no_embryo_at {
            Call::NoEmbryo
        } else if living < self.living_at {
            unsure(format!("P(living) {living:.3} is below {:.2}", self.living_at))
        } else if female >= highest {
            Call::Female
        } else if 1.0 - female >= costs.male_at() {
            Call::Male
        } else {
            unsure(format!(
                "P(female) {female:.3} is between {lowest:.3} and {highest:.3}, at signal to noise {:.0}",
                quality.snr
            ))
        }
    }

    /// What a verdict records: the name and a fingerprint of all values, such as `default/4#1f0c22aa`, so that a name
    /// that was kept while a value changed is found out. The same values give the same fingerprint in the same version.
    pub fn label(&self) -> String {
        let values = Self { name: String::new(), ..self.clone() };
        format!("{}#{:08x}", self.name, crc32c::crc32c(format!("{values:?}").as_bytes()))
    }

    /// Errors of a configuration, if any.
    pub fn check(&self) -> Result<(), String> {
        POLICY.check(&self.name).map_err(|error| error.to_string())?;
        self.costs.check()?;
        let shares = [
            ("no_embryo_at", self.no_embryo_at, 0.5),
            ("living_at", self.living_at, 0.0),
            ("min_coverage", self.min_coverage, 0.0),
            ("max_clipped", self.max_clipped, 0.0),
        ];
        for (field, value, lowest) in shares {
            if !(lowest..=1.0).contains(&value) {
                return Err(format!("policy.{field} is {value}; it must be {lowest} to 1"));
            }
        }
        for (field, value) in [
            ("max_strangeness", self.max_strangeness),
            ("clear_snr", self.clear_snr),
            ("min_snr", self.min_snr),
            ("max_motion", self.max_motion),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("policy.{field} is {value}; it must be a finite number of at least 0"));
            }
        }
        Ok(())
    }
}

fn at_least(value: f32, bound: f32) -> bool {
    value >= bound
}

fn at_most(value: f32, bound: f32) -> bool {
    value <= bound
}

/// P(female | living embryo), if the scores are probabilities.
pub fn p_female(scores: &pb::Scores) -> Option<f32> {
    let living = scores.female + scores.male;
    let all = living + scores.infertile + scores.dead;
    let valid = [scores.female, scores.male, scores.infertile, scores.dead].iter().all(|p| *p >= 0.0);
    // The outputs of a half-precision softmax may miss 1 by a rounding.
    (valid && (all - 1.0).abs() < 0.02).then(|| if living > 0.0 { scores.female / living } else { 0.5 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(female: f32, male: f32, infertile: f32) -> pb::Scores {
        pb::Scores { female, male, infertile, dead: 1.0 - female - male - infertile, ..Default::default() }
    }

    const CLEAR: pb::Quality =
        pb::Quality { snr: 30.0, motion: 1.0, coverage: 1.0, clipped: 0.0, egg_ml: 50.0 };

    #[test]
    fn the_surest_class_is_called_and_doubt_is_not() {
        let policy = Policy::default();
        let table = [
            (scores(0.97, 0.02, 0.0), "FEMALE"),
            (scores(0.02, 0.97, 0.0), "MALE"),
            (scores(0.01, 0.01, 0.97), "NO_EMBRYO"),
            (scores(0.01, 0.01, 0.0), "NO_EMBRYO"),
            (scores(0.55, 0.44, 0.0), "UNDECIDED"),
            (scores(0.60, 0.0, 0.40), "UNDECIDED"),
        ];
        for (scores, call) in table {
            assert_eq!(policy.decide(&scores, &CLEAR).name(), call, "{scores:?}");
        }
    }

    #[test]
    fn the_dearer_a_mistake_the_surer_its_call() {
        let costs = Costs { culled_female: 50.0, hatched_male: 4.0, withheld: 1.0 };
        assert_eq!((costs.female_at(), costs.male_at()), (0.75, 0.98));
        let again = Costs::calling_from(costs.female_at(), costs.male_at());
        assert!((again.culled_female - 50.0).abs() < 1e-3 && (again.hatched_male - 4.0).abs() < 1e-3);
        let policy = Policy { costs, ..Policy::default() };
        assert_eq!(policy.decide(&scores(0.8, 0.19, 0.0), &CLEAR), Call::Female);
        assert_eq!(policy.decide(&scores(0.19, 0.8, 0.0), &CLEAR).name(), "UNDECIDED");
    }

    #[test]
    fn the_noisier_an_image_the_surer_its_call() {
        let policy = Policy { costs: Costs::calling_from(0.9, 0.9), clear_snr: 20.0, ..Policy::default() };
        let called = |p: f32, snr: f32| {
            policy.decide(&scores(p, 1.0 - p, 0.0), &pb::Quality { snr, ..CLEAR }) == Call::Female
        };
        // A mistake costs 10 from SNR 20 on, twice that at SNR 10.
        assert!(called(0.91, 60.0) && called(0.91, 20.0) && !called(0.91, 10.0));
        assert!(called(0.96, 10.0) && !called(0.94, 10.0));
        assert!(!called(1.0 - 1e-6, 0.0) && !called(1.0 - 1e-6, f32::NAN));
        let level = Policy { clear_snr: 0.0, ..policy.clone() };
        assert_eq!(level.costs_at(5.0), policy.costs_at(60.0));
    }

    #[test]
    fn a_label_tells_a_changed_value_though_the_name_was_kept() {
        let policy = Policy::default();
        let changed = Policy { min_snr: 5.0, ..policy.clone() };
        assert!(policy.label().starts_with("default/4#") && changed.label().starts_with("default/4#"));
        assert_ne!(policy.label(), changed.label());
        assert_eq!(policy.label(), policy.clone().label());
    }

    #[test]
    fn costs_that_would_call_a_guess_are_refused() {
        for costs in [
            Costs { hatched_male: 1.9, ..Costs::default() },
            Costs { withheld: 0.0, ..Costs::default() },
            Costs { culled_female: f32::NAN, ..Costs::default() },
        ] {
            assert!(Policy { costs, ..Policy::default() }.check().is_err(), "{costs:?}");
        }
        assert_eq!(Policy::default().check(), Ok(()));
    }

    #[test]
    fn a_strange_image_never_gets_a_sex_however_sure_the_model_is() {
        for strangeness in [1.01, f32::NAN, f32::INFINITY] {
            let scores = pb::Scores { strangeness, ..scores(1.0, 0.0, 0.0) };
            assert_eq!(Policy::default().decide(&scores, &CLEAR).reason(), Some(Reason::NotAnEgg));
        }
    }

    #[test]
    fn scores_that_are_no_probabilities_decide_nothing() {
        for scores in [scores(f32::NAN, 0.0, 0.0), scores(-1.0, 2.0, 0.0), pb::Scores::default()] {
            assert_eq!(Policy::default().decide(&scores, &CLEAR).name(), "UNDECIDED");
        }
    }

    #[test]
    fn a_quality_that_is_not_a_number_is_poor() {
        let good = CLEAR;
        assert_eq!(Policy::default().judge_quality(&good), None);
        let worse = [
            pb::Quality { snr: f32::NAN, ..good },
            pb::Quality { motion: 1e3, ..good },
            pb::Quality { coverage: 0.5, ..good },
            pb::Quality { clipped: 0.2, ..good },
        ];
        for quality in worse {
            let decision = Policy::default().judge_quality(&quality).unwrap();
            assert_eq!(decision.reason(), Some(Reason::PoorImage), "{quality:?}");
        }
    }
}
