//! Times on the command line, and in tables.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned};

/// A time as people give it, which becomes one when it is known what `now` is.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// From now on, or before: `now`, `-1h`, `-2d12h`.
    Relative(Span),
    /// `2026-11-24T08:00:00Z`.
    At(Timestamp),
}

const FORMS: &str =
    "write a time as RFC 3339 (2026-11-24T08:00:00Z), as `now`, or relative such as -1h, -30m, -2d";

impl Given {
    /// Reads it from the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let given = match text {
            "now" => Self::Relative(Span::new()),
            _ if text.starts_with(['-', '+']) => {
                Self::Relative(text.parse().map_err(|error| format!("{error}; {FORMS}"))?)
            }
            _ => Self::At(text.parse().map_err(|error| format!("{error}; {FORMS}"))?),
        };
        given.at(Timestamp::now()).map(|_| given)
    }

    /// The time that it is.
    pub(crate) fn at(&self, now: Timestamp) -> Result<Timestamp, String> {
        match self {
            Self::At(at) => Ok(*at),
            // In UTC, so that a day has 24 hours everywhere.
            Self::Relative(span) => {
                let then = now.to_zoned(TimeZone::UTC).checked_add(*span);
                then.map(|then| then.timestamp()).map_err(|error| format!("{error}; {FORMS}"))
            }
        }
    }
}

/// Local time to the millisecond, for tables.
pub(crate) fn local(at: Timestamp, zone: TimeZone) -> String {
    Zoned::new(at, zone).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// A range in words: `in the last hour` when it was asked for so, `from .. to ..` else.
pub(crate) fn between(from: &Given, to: &Given, now: Timestamp) -> String {
    let whole = |given: &Given| given.at(now).map_or_else(|error| error, |at| format!("{at:.0}"));
    match (from, to) {
        (Given::Relative(span), Given::Relative(end)) if end.is_zero() && span.is_negative() => {
            let span = span.abs();
            match span.fieldwise() == Span::new().hours(1).fieldwise() {
                true => "in the last hour".into(),
                false => format!("in the last {span:#}"),
            }
        }
        (from, Given::Relative(end)) if end.is_zero() => format!("since {}", whole(from)),
        (from, to) => format!("from {} to {}", whole(from), whole(to)),
    }
}

/// How long ago, coarsely: `8 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since((Unit::Second, at)).map_or(0, |span| span.get_seconds()).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time of the wire; `None` when absent or no time.
pub(crate) fn stamp(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| ovomesh_api::time::from_pb("time", *at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_may_be_absolute_or_relative() {
        let now = at("2026-11-24T12:00:00Z");
        let table = [
            ("now", "2026-11-24T12:00:00Z"),
            ("-1h", "2026-11-24T11:00:00Z"),
            ("-90m", "2026-11-24T10:30:00Z"),
            ("-2d12h", "2026-11-22T00:00:00Z"),
            ("+10s", "2026-11-24T12:00:10Z"),
            ("2026-11-24T08:00:00+02:00", "2026-11-24T06:00:00Z"),
        ];
        for (text, expected) in table {
            assert_eq!(Given::parse(text).unwrap().at(now).unwrap(), at(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        for text in ["", "yesterday", "-", "-1x", "1h", "2026-13-01T00:00:00Z"] {
            let error = Given::parse(text).unwrap_err();
            assert!(error.contains("relative such as -1h"), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_are_told_as_they_were_asked_for() {
        let now = at("2026-11-24T12:00:00.5Z");
        for (from, to, expected) in [
            ("-1h", "now", "in the last hour"),
            ("-10m", "now", "in the last 10m"),
            ("-2d12h", "now", "in the last 2d 12h"),
            ("2026-11-24T11:58:29Z", "now", "since 2026-11-24T11:58:29Z"),
            ("-2h", "-1h", "from 2026-11-24T10:00:00Z to 2026-11-24T11:00:00Z"),
            (
                "2026-11-24T06:00:00Z",
                "2026-11-24T07:00:00Z",
                "from 2026-11-24T06:00:00Z to 2026-11-24T07:00:00Z",
            ),
        ] {
            let [from, to] = [from, to].map(|text| Given::parse(text).unwrap());
            assert_eq!(between(&from, &to, now), expected);
        }
    }

    #[test]
    fn ages_are_coarse() {
        let now = at("2026-11-24T12:00:00Z");
        for (then, expected) in [
            ("2026-11-24T11:59:52Z", "8 s"),
            ("2026-11-24T11:57:00Z", "3 min"),
            ("2026-11-22T12:00:00Z", "2 d"),
            ("2026-11-24T12:00:05Z", "0 s"),
        ] {
            assert_eq!(ago(at(then), now), expected);
        }
    }
}
