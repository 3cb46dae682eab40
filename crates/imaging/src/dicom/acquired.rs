//! When a scan was acquired.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::attribute::Scope;

/// When a scan was acquired, as far as its file says. DICOM times are local ones; few files state the zone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Acquired {
    /// Date and time where the scanner stands.
    pub local: DateTime,
    /// Offset from UTC, when it is stated.
    pub offset: Option<Offset>,
}

impl Acquired {
    /// The instant; `zone` is where the scanner stands, for files that do not say. Nothing for a time beyond
    /// the calendar.
    pub fn timestamp(&self, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.offset.map_or_else(|| zone.clone(), TimeZone::fixed);
        self.local.to_zoned(zone).ok().map(|zoned| zoned.timestamp())
    }

    /// From the attributes of a file: the acquisition's own, else those of content, series or study.
    pub(super) fn read(scope: &Scope<'_>) -> Option<Self> {
        let stated = scope.text(tags::TIMEZONE_OFFSET_FROM_UTC).and_then(|text| offset(&text));
        let whole = scope.text(tags::ACQUISITION_DATE_TIME).and_then(|text| parse(&text));
        let parts = [
            (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
            (tags::CONTENT_DATE, tags::CONTENT_TIME),
            (tags::SERIES_DATE, tags::SERIES_TIME),
            (tags::STUDY_DATE, tags::STUDY_TIME),
        ];
        let part = |(date, time): (Tag, Tag)| parse(&format!("{}{}", scope.text(date)?, scope.text(time)?));
        let found = whole.or_else(|| parts.into_iter().find_map(part))?;
        Some(Self { offset: found.offset.or(stated), ..found })
    }
}

/// `YYYYMMDDHHMMSS.FFFFFF&ZZXX`, of which all after the hour may be absent.
fn parse(text: &str) -> Option<Acquired> {
    let (time, zone) = match text.find(['+', '-']) {
        Some(at) => (&text[..at], Some(offset(&text[at..])?)),
        None => (text, None),
    };
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let digits = |from: usize, to: usize| whole.get(from..to)?.parse::<i16>().ok();
    let part =
        |from: usize| if whole.len() < from + 2 { Some(0) } else { digits(from, from + 2)?.try_into().ok() };
    let (year, month, day, hour) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?, digits(8, 10)?);
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let (month, day, hour) = (month.try_into().ok()?, day.try_into().ok()?, hour.try_into().ok()?);
    let local = DateTime::new(year, month, day, hour, part(10)?, part(12)?, nanoseconds).ok()?;
    Some(Acquired { local, offset: zone })
}

/// `&ZZXX`: hours and minutes with a sign.
fn offset(text: &str) -> Option<Offset> {
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = (text.get(1..3)?.parse::<i32>().ok()?, text.get(3..5)?.parse::<i32>().ok()?);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_precision_are_read() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let at = |text: &str| parse(text).and_then(|a| a.timestamp(&zone)).map(|t| t.to_string());
        assert_eq!(at("20261124093015.25").as_deref(), Some("2026-11-24T07:30:15.25Z"));
        assert_eq!(at("20261124093015.250000-0500").as_deref(), Some("2026-11-24T14:30:15.25Z"));
        assert_eq!(at("2026112409").as_deref(), Some("2026-11-24T07:00:00Z"));
        assert_eq!(at("202611240930").as_deref(), Some("2026-11-24T07:30:00Z"));
        for bad in ["", "2026", "20261324093015", "2026112425", "20261124093015+99", "jan 5", "２０２６"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
