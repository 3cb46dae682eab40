//! What a user asks for, checked once.

use std::ops::Deref;
use std::time::Duration;

use thiserror::Error;

use crate::schedule::Window;

/// No pool has more replicas: 1,000 sites need about 200 at 50 scans/s each, and a typing error must not buy a cluster.
const MOST_REPLICAS: u32 = 10_000;
/// Longest stabilisation: the history of demand is kept for so long.
const LONGEST_STABILISATION: Duration = Duration::from_secs(3_600);
/// Most windows of a schedule: each is looked at in each decision.
const MOST_WINDOWS: usize = 100;

/// How a pool of replicas is to be scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Fewest replicas, 0 or more. Default 1.
    pub min: u32,
    /// Most replicas, at least `min` and 1. Default 10.
    pub max: u32,
    /// Scans a second that one replica does, until replicas have been busy enough to be measured. More than 0.
    /// Default 50.
    pub expected_scans_per_second: f64,
    /// What there is to be for each scan that comes: 1.25 keeps a fifth of the replicas free. 1 to 10. Default 1.25.
    pub headroom: f64,
    /// How soon a burst, or what waits, is to be through. More than 0, at most 60 s. Default 1.5 s: the default budget
    /// of a scan (2 s) less the work of a batch and the way.
    pub target_drain: Duration,
    /// The largest demand of so long counts before replicas are taken away. 0 to 1 h. Default 5 min.
    pub scale_down_after: Duration,
    /// Times at which there are at least so many replicas, such as the start of a shift. At most 100.
    pub schedule: Vec<Window>,
    /// What to do while no gateway can be seen.
    pub fallback: Fallback,
    /// A pin by hand (what `kubectl scale` sets): exactly so many, even fewer than `min`, whatever is seen. At most `max`.
    pub fixed_replicas: Option<u32>,
}

/// What to do while no gateway can be seen. In no case is anything taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Keep what there is.
    #[default]
    Hold,
    /// Have at least so many, at most `max`.
    AtLeast(u32),
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            min: 1,
            max: 10,
            expected_scans_per_second: 50.0,
            headroom: 1.25,
            target_drain: Duration::from_millis(1_500),
            scale_down_after: Duration::from_secs(300),
            schedule: Vec::new(),
            fallback: Fallback::Hold,
            fixed_replicas: None,
        }
    }
}

/// Why a spec is refused. The field is named as in the custom resource.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field} is {value}, but {limit}")]
pub struct InvalidSpec {
    /// The field, such as `maxReplicas`.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What it has to be.
    pub limit: String,
}

/// A spec that holds what [`Spec`] promises of each field.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked(Spec);

impl Deref for Checked {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.0
    }
}

impl Spec {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(self) -> Result<Checked, InvalidSpec> {
        let refuse = |field, value: String, limit: String| Err(InvalidSpec { field, value, limit });
        if !(1..=MOST_REPLICAS).contains(&self.max) {
            return refuse("maxReplicas", self.max.to_string(), format!("has to be 1 to {MOST_REPLICAS}"));
        }
        if self.min > self.max {
            return refuse(
                "minReplicas",
                self.min.to_string(),
                format!("may not be above maxReplicas, {}", self.max),
            );
        }
        if !(self.expected_scans_per_second.is_finite() && self.expected_scans_per_second > 0.0) {
            let value = self.expected_scans_per_second.to_string();
            return refuse("expectedScansPerSecond", value, "has to be a number above 0".to_owned());
        }
        if !(1.0..=10.0).contains(&self.headroom) {
            return refuse("headroom", self.headroom.to_string(), "has to be 1 to 10".to_owned());
        }
        if self.target_drain.is_zero() || self.target_drain > Duration::from_secs(60) {
            let value = self.target_drain.as_secs_f64().to_string();
            return refuse("targetDrainSeconds", value, "has to be above 0 and at most 60".to_owned());
        }
        if self.scale_down_after > LONGEST_STABILISATION {
            let value = self.scale_down_after.as_secs().to_string();
            let limit = format!("may be at most {}", LONGEST_STABILISATION.as_secs());
            return refuse("scaleDownStabilizationSeconds", value, limit);
        }
        if self.schedule.len() > MOST_WINDOWS {
            let value = format!("{} windows long", self.schedule.len());
            return refuse("schedule", value, format!("may have at most {MOST_WINDOWS}"));
        }
        for window in &self.schedule {
            if window.replicas > self.max {
                let value = format!("{} in window {:?}", window.replicas, window.name);
                return refuse(
                    "schedule.replicas",
                    value,
                    format!("may not be above maxReplicas, {}", self.max),
                );
            }
            if window.from == window.to {
                let value = format!("{} in window {:?}", window.to, window.name);
                return refuse(
                    "schedule.to",
                    value,
                    "has to differ from `from` (for a whole day use 00:00 to 23:59:59)".to_owned(),
                );
            }
        }
        if let Fallback::AtLeast(replicas) = self.fallback
            && replicas > self.max
        {
            let limit = format!("may not be above maxReplicas, {}", self.max);
            return refuse("fallback.replicas", replicas.to_string(), limit);
        }
        match self.fixed_replicas {
            Some(fixed) if fixed > self.max => {
                let limit = format!("may not be above maxReplicas, {}", self.max);
                refuse("fixedReplicas", fixed.to_string(), limit)
            }
            _ => Ok(Checked(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_spec_out_of_range_is_refused_by_the_name_of_its_field() {
        let spec = Spec::default;
        let window = |replicas, to| Window {
            name: "morning".to_owned(),
            from: time(5, 30, 0, 0),
            to,
            days: Vec::new(),
            time_zone: TimeZone::UTC,
            replicas,
        };
        let late = time(8, 0, 0, 0);
        let wrong = [
            ("maxReplicas", Spec { max: 0, min: 0, ..spec() }),
            ("maxReplicas", Spec { max: 10_001, ..spec() }),
            ("minReplicas", Spec { min: 11, ..spec() }),
            ("expectedScansPerSecond", Spec { expected_scans_per_second: 0.0, ..spec() }),
            ("expectedScansPerSecond", Spec { expected_scans_per_second: f64::NAN, ..spec() }),
            ("headroom", Spec { headroom: 0.9, ..spec() }),
            ("headroom", Spec { headroom: f64::NAN, ..spec() }),
            ("targetDrainSeconds", Spec { target_drain: Duration::ZERO, ..spec() }),
            (
                "scaleDownStabilizationSeconds",
                Spec { scale_down_after: Duration::from_secs(3_601), ..spec() },
            ),
            ("schedule", Spec { schedule: vec![window(1, late); 101], ..spec() }),
            ("schedule.replicas", Spec { schedule: vec![window(11, late)], ..spec() }),
            ("schedule.to", Spec { schedule: vec![window(1, time(5, 30, 0, 0))], ..spec() }),
            ("fallback.replicas", Spec { fallback: Fallback::AtLeast(11), ..spec() }),
            ("fixedReplicas", Spec { fixed_replicas: Some(11), ..spec() }),
        ];
        for (field, spec) in wrong {
            assert_eq!(spec.clone().check().expect_err("it is out of range").field, field, "{spec:?}");
        }
        let refused = Spec { min: 11, ..spec() }.check().expect_err("min is above max");
        assert_eq!(refused.to_string(), "minReplicas is 11, but may not be above maxReplicas, 10");
        assert!(Spec { schedule: vec![window(10, late)], fixed_replicas: Some(0), ..spec() }.check().is_ok());
    }
}
