//! Times as the tables have them.
//!
//! CQL's `timestamp` counts milliseconds; what a time has beyond them is a column of its own, so that rows keep their
//! order to the nanosecond.

use jiff::Timestamp;
use scylla::value::CqlTimestamp;

/// An hour in milliseconds.
const HOUR: i64 = 3_600_000;

/// A time in two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimeColumns {
    /// Since 1970, rounded down.
    pub millis: i64,
    /// Below the millisecond, 0 to 999,999.
    pub nanos: i32,
}

impl TimeColumns {
    pub fn at(self) -> CqlTimestamp {
        CqlTimestamp(self.millis)
    }

    /// The beginning of the hour that follows.
    pub fn next_hour(self) -> Self {
        Self { millis: self.hour() + HOUR, nanos: 0 }
    }

    /// The beginning of its hour.
    pub fn hour(self) -> i64 {
        self.millis.div_euclid(HOUR) * HOUR
    }
}

impl From<Timestamp> for TimeColumns {
    fn from(at: Timestamp) -> Self {
        let nanos = at.as_nanosecond();
        // Years 1 to 9999 in milliseconds fit by far.
        Self { millis: nanos.div_euclid(1_000_000) as i64, nanos: nanos.rem_euclid(1_000_000) as i32 }
    }
}

impl From<TimeColumns> for Timestamp {
    fn from(when: TimeColumns) -> Self {
        let nanos = i128::from(when.millis) * 1_000_000 + i128::from(when.nanos);
        // Stored times were such; what is none of them was not written by us.
        Self::from_nanosecond(nanos).unwrap_or(Self::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_order_and_their_hour_also_before_1970() {
        let when = |nanos: i128| TimeColumns::from(Timestamp::from_nanosecond(nanos).unwrap());
        assert_eq!(when(-1), TimeColumns { millis: -1, nanos: 999_999 });
        assert_eq!((when(-1).hour(), when(0).hour()), (-HOUR, 0));
        let hour = i128::from(HOUR) * 1_000_000;
        assert_eq!((when(hour - 1).hour(), when(hour).hour()), (0, HOUR));
        let times = [-hour, -1_000_000, -1, 0, 1, 999_999, 1_000_000, hour];
        assert!(times.windows(2).all(|pair| when(pair[0]) < when(pair[1])));
        assert!(TimeColumns::from(Timestamp::MIN) < TimeColumns::from(Timestamp::MAX));
        for at in [Timestamp::MIN, Timestamp::MAX, Timestamp::from_nanosecond(-1).unwrap()] {
            assert_eq!(Timestamp::from(TimeColumns::from(at)), at);
        }
    }
}
