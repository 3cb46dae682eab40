//! Windows of the day or the week in which there are replicas before the first scan comes.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A time of day at which there are at least so many replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// For people.
    pub name: String,
    /// From when, on the clock of the time zone. Replicas are ordered earlier by what they usually take to start.
    pub from: Time,
    /// Until when, exclusive. Earlier than `from`: on the next day.
    pub to: Time,
    /// On which days a window begins; none means every day.
    pub days: Vec<Weekday>,
    /// Where the clock hangs. Summer time is the zone's.
    pub time_zone: TimeZone,
    /// At least so many replicas.
    pub replicas: u32,
}

/// Days by their short English names, `Mon` to `Sun`, in any case; the first name that is none is given back.
///
/// # Errors
/// The name that is no day.
pub fn days<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Weekday>, &'a str> {
    let day = |name: &'a str| match name.to_ascii_lowercase().as_str() {
        "mon" => Ok(Weekday::Monday),
        "tue" => Ok(Weekday::Tuesday),
        "wed" => Ok(Weekday::Wednesday),
        "thu" => Ok(Weekday::Thursday),
        "fri" => Ok(Weekday::Friday),
        "sat" => Ok(Weekday::Saturday),
        "sun" => Ok(Weekday::Sunday),
        _ => Err(name),
    };
    names.into_iter().map(day).collect()
}

impl Window {
    /// Whether it is open now, or will be when a replica ordered now is ready.
    pub(crate) fn open(&self, now: Timestamp, lead: SignedDuration) -> bool {
        let soon = now.checked_add(lead).unwrap_or(now);
        self.holds(now) || self.holds(soon)
    }

    fn holds(&self, at: Timestamp) -> bool {
        let there = self.time_zone.to_datetime(at);
        let (time, today) = (there.time(), there.date().weekday());
        let on = |day| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.to {
            on(today) && self.from <= time && time < self.to
        } else {
            (on(today) && self.from <= time) || (on(today.previous()) && time < self.to)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn window(from: Time, to: Time, names: &[&str], zone: &str) -> Window {
        Window {
            name: "shift".to_owned(),
            from,
            to,
            days: days(names.iter().copied()).expect("they are days"),
            time_zone: TimeZone::get(zone).expect("a zone"),
            replicas: 3,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_opens_by_the_clock_of_its_zone_in_summer_and_in_winter() {
        let early = window(time(6, 0, 0, 0), time(7, 0, 0, 0), &[], "Europe/Berlin");
        let zero = SignedDuration::ZERO;
        assert!(early.open(at("2026-07-01T04:00:00Z"), zero));
        assert!(!early.open(at("2026-07-01T05:00:00Z"), zero));
        assert!(!early.open(at("2026-12-01T04:30:00Z"), zero));
        assert!(early.open(at("2026-12-01T05:00:00Z"), zero));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = window(time(22, 0, 0, 0), time(2, 0, 0, 0), &["Fri"], "UTC");
        let zero = SignedDuration::ZERO;
        // 2026-07-03 is a Friday.
        assert!(night.open(at("2026-07-03T23:00:00Z"), zero));
        assert!(night.open(at("2026-07-04T01:59:59Z"), zero));
        assert!(!night.open(at("2026-07-04T02:00:00Z"), zero));
        assert!(!night.open(at("2026-07-03T01:00:00Z"), zero));
        assert!(!night.open(at("2026-07-04T23:00:00Z"), zero));
    }

    #[test]
    fn replicas_are_ordered_before_the_window_opens() {
        let early = window(time(6, 0, 0, 0), time(7, 0, 0, 0), &[], "UTC");
        assert!(early.open(at("2026-07-01T05:58:30Z"), SignedDuration::from_secs(90)));
        assert!(!early.open(at("2026-07-01T05:58:29Z"), SignedDuration::from_secs(90)));
    }

    #[test]
    fn a_name_that_is_no_day_is_given_back() {
        assert_eq!(days(["Mon", "Funday"]), Err("Funday"));
    }
}
