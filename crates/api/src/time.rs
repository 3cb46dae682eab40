//! Times on the wire and inside.

use std::time::Duration;

use jiff::Timestamp;

use crate::Invalid;

/// A source's clock that is further off than this is flagged.
pub const SUSPECT: Duration = Duration::from_secs(3600);
/// The years that a scan can be of, in seconds since 1970: from 1970 to 2099. Rows are listed by their time, so one of
/// another year would never be found. They do not depend on the receiver's clock, which may be the wrong one.
const PLAUSIBLE: std::ops::Range<i64> = 0..4_102_444_800;

/// What a source sends that has a time and cannot vouch for it: the receiver's clock is used, and the row flagged.
pub const UNKNOWN: prost_types::Timestamp = prost_types::Timestamp { seconds: -1, nanos: 0 };

/// When a scan was acquired, as far as its source can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcquiredAt {
    /// The source's time, or else the receiver's.
    pub at: Timestamp,
    /// Whose time it is.
    pub given: Given,
}

/// What a source gave as a scan's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// A time, right or wrong.
    Time,
    /// Nothing: the receiver's clock is used.
    Nothing,
    /// What is no time, or of a year in which nobody scans: the receiver's clock is used, and the row flagged.
    Nonsense,
}

impl Given {
    /// What this is.
    pub fn of(given: Option<prost_types::Timestamp>) -> Self {
        match given.map(plausible) {
            None => Self::Nothing,
            Some(None) => Self::Nonsense,
            Some(Some(_)) => Self::Time,
        }
    }

    /// From what is kept: whether the receiver's clock is used, and whether that is instead of something else.
    pub fn kept(is_receivers: bool, is_replaced: bool) -> Self {
        match (is_receivers, is_replaced) {
            (false, _) => Self::Time,
            (true, false) => Self::Nothing,
            (true, true) => Self::Nonsense,
        }
    }
}

impl AcquiredAt {
    /// Reads what the source of a scan gave that was received at `received_at`. Nothing is refused.
    pub fn read(given: Option<prost_types::Timestamp>, received_at: Timestamp) -> Self {
        Self { at: given.and_then(plausible).unwrap_or(received_at), given: Given::of(given) }
    }

    /// Whether the row must say that the source's clock cannot be believed.
    pub fn is_suspect(self, received_at: Timestamp) -> bool {
        self.given == Given::Nonsense || is_suspect(self.at, received_at)
    }
}

/// Whether a source's time is too far from ours to be believed.
pub fn is_suspect(acquired_at: Timestamp, now: Timestamp) -> bool {
    acquired_at.duration_since(now).unsigned_abs() > SUSPECT
}

fn plausible(at: prost_types::Timestamp) -> Option<Timestamp> {
    from_pb("acquired_at", at).ok().filter(|at| PLAUSIBLE.contains(&at.as_second()))
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
    fn no_acquired_at_is_refused_and_what_is_no_plausible_time_is_replaced_and_flagged() {
        let now = Timestamp::from_second(1_795_510_800).unwrap();
        let read = |seconds, nanos| AcquiredAt::read(Some(prost_types::Timestamp { seconds, nanos }), now);
        let nonsense = [
            (1_795_510_800_000, 0),
            (1_795_510_800_000_000_000, 0),
            (1_795_510_800, -1),
            (1_795_510_800, 1_000_000_000),
            (253_402_300_800, 0),
            (253_402_300_799, 999_999_999),
            (4_102_444_800, 0),
            (-1, 0),
            (i64::MIN, i32::MIN),
            (i64::MAX, i32::MAX),
        ];
        for (seconds, nanos) in nonsense {
            let acquired = read(seconds, nanos);
            assert_eq!(acquired, AcquiredAt { at: now, given: Given::Nonsense }, "{seconds}.{nanos}");
            assert!(acquired.is_suspect(now));
        }
        assert_eq!(Given::of(Some(UNKNOWN)), Given::Nonsense);
        for (seconds, suspect) in [(0, true), (946_684_800, true), (1_795_510_799, false)] {
            let acquired = read(seconds, 5);
            assert_eq!((acquired.at.as_second(), acquired.given), (seconds, Given::Time));
            assert_eq!(acquired.is_suspect(now), suspect, "{seconds}");
        }
        let none = AcquiredAt::read(None, now);
        assert_eq!((none.at, none.is_suspect(now)), (now, false));
    }

    #[test]
    fn times_survive_the_wire_also_before_1970() {
        for nanos in [0, 1, -1, -1_500_000_000, 1_700_000_000_123_456_789_i128] {
            let at = Timestamp::from_nanosecond(nanos).unwrap();
            assert_eq!(from_pb("acquired_at", to_pb(at)).unwrap(), at);
        }
    }
}
