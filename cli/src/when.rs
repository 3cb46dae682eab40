//! Times on the command line, and in tables.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned};

/// A time as people give it: `2026-11-24T08:00:00Z`, `now`, or relative to now such as `-1h` or `-2d12h`.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    const FORMS: &str =
        "a time is RFC 3339 such as 2026-11-24T08:00:00Z, `now`, or relative such as -1h, -30m, -2d";
    if text == "now" {
        return Ok(now);
    }
    if text.starts_with(['-', '+']) {
        let span: Span = text.parse().map_err(|error| format!("{error}; {FORMS}"))?;
        // In UTC, so that a day has 24 hours everywhere.
        let then = now.to_zoned(TimeZone::UTC).checked_add(span);
        return then.map(|then| then.timestamp()).map_err(|error| format!("{error}; {FORMS}"));
    }
    text.parse().map_err(|error| format!("{error}; {FORMS}"))
}

/// As [`parse`], relative to the moment of the call.
pub(crate) fn given(text: &str) -> Result<Timestamp, String> {
    parse(text, Timestamp::now())
}

/// Local time to the millisecond, for tables.
pub(crate) fn local(at: Timestamp, zone: TimeZone) -> String {
    Zoned::new(at, zone).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// A range in words: `in the last hour` when it ends now, `from .. to ..` else.
pub(crate) fn between(from: Timestamp, to: Timestamp, now: Timestamp) -> String {
    /// A command that ends now began a moment ago.
    const MOMENT: i64 = 60;
    // Rounded: both ends were read from the clock, one after the other.
    let seconds = |later: Timestamp, earlier: Timestamp| {
        (later.as_millisecond() - earlier.as_millisecond() + 500).div_euclid(1_000)
    };
    if seconds(now, to) > MOMENT || to > now {
        return format!("from {from:.0} to {to:.0}");
    }
    match seconds(to, from) {
        3_600 => "in the last hour".into(),
        86_400 => "in the last day".into(),
        s if s % 86_400 == 0 => format!("in the last {} days", s / 86_400),
        s if s % 3_600 == 0 => format!("in the last {} hours", s / 3_600),
        60 => "in the last minute".into(),
        s if s % 60 == 0 => format!("in the last {} minutes", s / 60),
        s if s < 60 => format!("in the last {s} s"),
        _ => format!("since {from:.0}"),
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
            assert_eq!(parse(text, now).unwrap(), at(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        for text in ["", "yesterday", "-", "-1x", "1h", "2026-13-01T00:00:00Z"] {
            let error = parse(text, Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(error.contains("relative such as -1h"), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_are_told_as_they_were_asked_for() {
        let now = at("2026-11-24T12:00:00.5Z");
        for (from, to, expected) in [
            ("2026-11-24T11:00:00.4Z", "2026-11-24T12:00:00.41Z", "in the last hour"),
            ("2026-11-24T11:50:00Z", "2026-11-24T12:00:00Z", "in the last 10 minutes"),
            ("2026-11-22T12:00:00Z", "2026-11-24T12:00:00Z", "in the last 2 days"),
            ("2026-11-24T11:58:29Z", "2026-11-24T12:00:00Z", "since 2026-11-24T11:58:29Z"),
            (
                "2026-11-24T06:00:00Z",
                "2026-11-24T07:00:00Z",
                "from 2026-11-24T06:00:00Z to 2026-11-24T07:00:00Z",
            ),
        ] {
            assert_eq!(between(at(from), at(to), now), expected);
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
