//! What an image is on the wire.

use jiff::tz::TimeZone;
use ovomesh_api::intake::Axes;
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::time;
use ovomesh_imaging::dicom::{Acquired, Series};
use ovomesh_imaging::{Handedness, Volume};

/// The volume of a series in the frame that models know.
///
/// # Errors
/// It has too few or too many samples along an axis when it is turned.
pub fn turned(series: &Series, axes: Axes) -> Result<Volume, ovomesh_imaging::Error> {
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

/// When it was acquired. Few files state their zone: their scanner is taken to stand where this program runs.
pub fn acquired_at(acquired: Option<Acquired>) -> Option<prost_types::Timestamp> {
    acquired.and_then(|acquired| acquired.timestamp(&TimeZone::system())).map(time::to_pb)
}
