//! From the custom resource to what the decision takes: everything checked, the field named in the error.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use ovomesh_resources::{FallbackMode, InferencePoolSpec, ScheduleWindow};
use ovomesh_scaling::{Checked, Fallback, InvalidSpec, Spec, Window, days};

/// Why a pool cannot be obeyed; the text names the field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// A field that the schema lets through, and that makes no sense.
    #[error("spec.{0}")]
    Scaling(#[from] InvalidSpec),
    /// A field that has to be read as something else.
    #[error("spec.{field} is {value:?}, but {limit}")]
    Field {
        /// Which.
        field: String,
        /// What it is.
        value: String,
        /// What it has to be.
        limit: &'static str,
    },
}

/// Checks the part of the spec that scaling is about.
pub fn check(spec: &InferencePoolSpec) -> Result<Checked, Invalid> {
    let schedule = spec.schedule.iter().map(window).collect::<Result<_, _>>()?;
    let fallback = match (spec.fallback.mode, spec.fallback.replicas) {
        (FallbackMode::Hold, _) => Fallback::Hold,
        (FallbackMode::AtLeast, replicas) => {
            Fallback::AtLeast(count("fallback.replicas", replicas.unwrap_or_default())?)
        }
    };
    let checked = Spec {
        min: count("minReplicas", spec.min_replicas)?,
        max: count("maxReplicas", spec.max_replicas)?,
        expected_scans_per_second: spec.expected_scans_per_second,
        headroom: spec.headroom,
        target_drain: seconds("targetDrainSeconds", spec.target_drain_seconds)?,
        scale_down_after: Duration::from_secs(
            count("scaleDownStabilizationSeconds", spec.scale_down_stabilization_seconds)?.into(),
        ),
        schedule,
        fallback,
        fixed_replicas: spec.fixed_replicas.map(|fixed| count("fixedReplicas", fixed)).transpose()?,
    };
    Ok(checked.check()?)
}

fn window(window: &ScheduleWindow) -> Result<Window, Invalid> {
    let field = |name: &str| format!("schedule[{}].{name}", window.name);
    let time = |name: &str, text: &str| {
        let wrong = || refused(field(name), text, "has to be a time of day as HH:MM");
        let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
        let numbers = (hour.parse(), minute.parse());
        let (Ok(hour), Ok(minute)) = numbers else { return Err(wrong()) };
        Time::new(hour, minute, 0, 0).map_err(|_| wrong())
    };
    Ok(Window {
        name: window.name.clone(),
        from: time("from", &window.from)?,
        to: time("to", &window.to)?,
        days: days(window.days.iter().map(String::as_str))
            .map_err(|day| refused(field("days"), day, "has to be Mon, Tue, Wed, Thu, Fri, Sat or Sun"))?,
        time_zone: TimeZone::get(&window.time_zone).map_err(|_| {
            refused(field("timeZone"), &window.time_zone, "has to be a time zone such as Europe/Berlin")
        })?,
        replicas: count(&field("replicas"), window.replicas)?,
    })
}

fn count(field: &str, value: i32) -> Result<u32, Invalid> {
    u32::try_from(value).map_err(|_| refused(field.to_owned(), &value.to_string(), "may not be below 0"))
}

fn seconds(field: &str, value: f64) -> Result<Duration, Invalid> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| refused(field.to_owned(), &value.to_string(), "has to be a number of seconds"))
}

fn refused(field: String, value: &str, limit: &'static str) -> Invalid {
    Invalid::Field { field, value: value.to_owned(), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> InferencePoolSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_left_out_is_what_the_decision_has_for_default() {
        let spec = check(&read(serde_json::json!({"image": "i"}))).unwrap();
        assert_eq!(*spec, Spec::default());
    }

    #[test]
    fn a_schedule_is_read_with_its_zone() {
        let spec = check(&read(serde_json::json!({"image": "i", "schedule": [
            {"name": "early", "from": "05:30", "to": "14:00", "days": ["Mon"], "timeZone": "Europe/Berlin", "replicas": 4}
        ]})));
        let window = &spec.unwrap().schedule[0];
        assert_eq!((window.from.to_string(), window.replicas), ("05:30:00".into(), 4));
        assert_eq!(window.time_zone.iana_name(), Some("Europe/Berlin"));
    }

    #[test]
    fn what_cannot_be_obeyed_is_named() {
        let error = |json| check(&read(json)).unwrap_err().to_string();
        let zone = error(serde_json::json!({"image": "i", "schedule": [
            {"name": "w", "from": "05:30", "to": "14:00", "timeZone": "Europe/Atlantis", "replicas": 4}
        ]}));
        assert!(zone.contains("spec.schedule[w].timeZone is \"Europe/Atlantis\""), "{zone}");
        let min = error(serde_json::json!({"image": "i", "minReplicas": 4, "maxReplicas": 3}));
        assert_eq!(min, "spec.minReplicas is 4, but may not be above maxReplicas, 3");
    }
}
