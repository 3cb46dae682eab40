//! What an image is on the wire.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ovomesh_api::intake::{Axes, Zone};
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::time;
use ovomesh_imaging::dicom::{Acquired, Series};
use ovomesh_imaging::{Handedness, Volume};

/// The volume of a series that has all its images, in the frame that models know. `images`: how many those are, where
/// that is known better than by what they state.
///
/// # Errors
/// Images are missing, or it has too few or too many samples along an axis when it is turned.
pub fn volume(series: &Series, axes: Axes, images: Option<usize>) -> Result<Volume, ovomesh_imaging::Error> {
    series.must_be_whole(images)?;
    series.volume.turned(match axes {
        Axes::Header => series.axes,
        Axes::Given(axes) => axes,
    })
}

/// A volume as it is sent, with its checksum.
pub fn wire(volume: &Volume) -> pb::Volume {
    let header = volume.header();
    // Checked volumes have at most 512 samples along an axis.
    let [columns, rows, slices] = header.dims.map(|n| n as u32);
    let [x, y, z] = header.spacing_mm;
    let handedness = match header.handedness {
        Handedness::Right => pb::Handedness::RightHanded,
        Handedness::Left => pb::Handedness::LeftHanded,
    };
    pb::Volume {
        columns,
        rows,
        slices,
        spacing_x_mm: x,
        spacing_y_mm: y,
        spacing_z_mm: z,
        handedness: handedness.into(),
        encoding: pb::Encoding::Raw.into(),
        crc32c: Some(crc32c::crc32c(volume.samples())),
        samples: volume.samples().clone(),
        rescale_slope: Some(header.slope),
        rescale_intercept: Some(header.intercept),
    }
}

/// The offsets of any two zones are at most this far apart: they lie from 12 h behind to 14 h before UTC.
const ZONES: Duration = Duration::from_secs(26 * 3_600);

/// When it was acquired, read at `now`. Few files state their offset: `zone` is where their scanner stands. When nobody says
/// that, the time is read in the zone of this program. One that is far off then, and not too far for another zone, is
/// [`time::UNKNOWN`]: rows are listed by their time, and nobody would look for this one there.
pub fn acquired_at(
    acquired: Option<Acquired>,
    zone: Option<&Zone>,
    now: Timestamp,
) -> Option<prost_types::Timestamp> {
    let acquired = acquired?;
    let is_guessed = acquired.offset.is_none() && zone.is_none();
    let zone = zone.map_or_else(TimeZone::system, |zone| zone.time_zone().clone());
    let at = acquired.timestamp(&zone)?;
    let may_be_another_zone = time::is_suspect(at, now) && at.duration_since(now).unsigned_abs() <= ZONES;
    Some(if is_guessed && may_be_another_zone { time::UNKNOWN } else { time::to_pb(at) })
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;
    use jiff::tz::Offset;
    use jiff::{SignedDuration, ToSpan as _};

    use super::*;

    #[test]
    fn a_local_time_that_another_zone_may_bring_near_is_unknown_unless_its_zone_is_known() {
        let now = Timestamp::from_second(1_795_510_800).unwrap();
        let here = now.to_zoned(TimeZone::system()).datetime();
        let read = |local: DateTime, offset, zone: Option<&Zone>| {
            acquired_at(Some(Acquired { local, offset }), zone, now)
        };
        let unknown = |minutes: i64| read(here + minutes.minutes(), None, None) == Some(time::UNKNOWN);
        for minutes in [0, 59, -59, 27 * 60, -27 * 60, -7 * 24 * 60] {
            assert!(!unknown(minutes), "{minutes} minutes");
        }
        for minutes in [61, -61, 2 * 60, -9 * 60, 25 * 60, -25 * 60] {
            assert!(unknown(minutes), "{minutes} minutes");
        }
        // Known zones: then the time counts, however far off.
        let utc: Zone = "UTC".parse().unwrap();
        let eight = now.to_zoned(TimeZone::UTC).datetime() - 8.hours();
        let expected = Some(time::to_pb(now - SignedDuration::from_hours(8)));
        assert_eq!(read(eight, Some(Offset::UTC), None), expected);
        assert_eq!(read(eight, None, Some(&utc)), expected);
        assert_eq!(acquired_at(None, None, now), None);
    }
}
