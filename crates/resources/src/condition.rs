//! Conditions, which keep the time of their last change.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Sets the condition of this type; whether its status, reason or message is another than before.
pub fn set(
    conditions: &mut Vec<Condition>,
    (type_, status): (&str, bool),
    (reason, message): (&str, &str),
    generation: i64,
    now: &Time,
) -> bool {
    let status = if status { "True" } else { "False" };
    let new = Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: Some(generation),
        last_transition_time: now.clone(),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        None => {
            conditions.push(new);
            true
        }
        Some(old) => {
            let flipped = old.status != status;
            let changed = flipped || old.reason != reason || old.message != message;
            let since = if flipped { now.clone() } else { old.last_transition_time.clone() };
            *old = Condition { last_transition_time: since, ..new };
            changed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_it_flips() {
        let at = |text: &str| Time(text.parse().unwrap());
        let (one, two) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        let mut all = Vec::new();
        assert!(set(&mut all, ("Ready", false), ("Starting", "0 of 1"), 1, &one));
        assert!(set(&mut all, ("Ready", false), ("Starting", "1 of 2"), 1, &two));
        assert_eq!(all[0].last_transition_time, one);
        assert!(!set(&mut all, ("Ready", false), ("Starting", "1 of 2"), 1, &two));
        assert!(set(&mut all, ("Ready", true), ("AllReady", "2 of 2"), 2, &two));
        assert_eq!((all.len(), &all[0].last_transition_time), (1, &two));
    }
}
