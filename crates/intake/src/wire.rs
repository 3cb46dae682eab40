//! What an image is on the wire.

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

/// When it was acquired. Few files state their offset: `zone` is where their scanner stands, or else where this program
/// runs.
pub fn acquired_at(acquired: Option<Acquired>, zone: Option<&Zone>) -> Option<prost_types::Timestamp> {
    let zone = zone.map_or_else(TimeZone::system, |zone| zone.time_zone().clone());
    acquired.and_then(|acquired| acquired.timestamp(&zone)).map(time::to_pb)
}
