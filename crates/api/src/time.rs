//! Times on the wire and inside.

use std::time::Duration;

use jiff::Timestamp;

use crate::Invalid;

/// A source's clock that is further off than this is flagged.
pub const SUSPECT: Duration = Duration::from_secs(3600);

/// Whether a source's time is too far from ours to be believed.
pub fn is_suspect(acquired_at: Timestamp, now: Timestamp) -> bool {
    acquired_at.duration_since(now).unsigned_abs() > SUSPECT
}

/// A wire timestamp, if it is one.
pub fn from_pb(field: &'static str, at: prost_types::Timestamp) -> Result<Timestamp, Invalid> {
    Timestamp::new(at.seconds, at.nanos).ok().filter(|_| at.nanos >= 0).ok_or_else(|| {
        Invalid::field(field, format!("{}.{}", at.seconds, at.nanos), "a time of the years 1 to 9999")
    })
}

/// A timestamp for the wire, to the nanosecond.
pub fn to_pb(at: Timestamp) -> prost_types::Timestamp {
    // The wire wants nanos counted upwards, also before 1970; jiff counts them towards the epoch.
    let (seconds, nanos) = (at.as_second(), at.subsec_nanosecond());
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

/// A wire duration as time left: what is negative is nothing left.
pub fn budget_from_pb(field: &'static str, left: prost_types::Duration) -> Result<Duration, Invalid> {
    if !(-999_999_999..=999_999_999).contains(&left.nanos) {
        return Err(Invalid::field(field, format!("{} ns", left.nanos), "a duration with |nanos| < 1e9"));
    }
    let nanos = i128::from(left.seconds) * 1_000_000_000 + i128::from(left.nanos);
    Ok(Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)))
}

/// Time left for the wire, to the nanosecond.
pub fn budget_to_pb(left: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: left.subsec_nanos().cast_signed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_wire_also_before_1970() {
        for nanos in [0, 1, -1, -1_500_000_000, 1_700_000_000_123_456_789_i128] {
            let at = Timestamp::from_nanosecond(nanos).unwrap();
            assert_eq!(from_pb("acquired_at", to_pb(at)).unwrap(), at);
        }
    }
}
