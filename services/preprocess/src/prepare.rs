//! From the wire to the imaging crate and back.

use ovomesh_api::SampleFormat;
use ovomesh_api::pb::preprocess::v1::{Prepared, PreparedVolume};
use ovomesh_api::pb::scan::v1::{Encoding, Handedness, Point, Preview, Quality, Volume};
use ovomesh_imaging::{self as imaging, GRID, Header, Scratch, VolumeView};
use ovomesh_mesh::StageError;

// Whatever the contract lets in can be prepared. Imaging knows no contract, and who only sends scans needs no imaging, so
// each has its limits; they are compared here.
const _: () = {
    use ovomesh_api::volume as contract;
    assert!(*contract::IN_PLANE.start() as usize == *imaging::IN_PLANE.start());
    assert!(*contract::IN_PLANE.end() as usize == *imaging::IN_PLANE.end());
    assert!(*contract::SLICES.start() as usize == *imaging::SLICES.start());
    assert!(*contract::SLICES.end() as usize == *imaging::SLICES.end());
    assert!(*contract::SPACING_MM.start() == *imaging::SPACING_MM.start());
    assert!(*contract::SPACING_MM.end() == *imaging::SPACING_MM.end());
};

/// What one thread keeps from volume to volume.
#[derive(Default)]
pub struct Preparer {
    scratch: Scratch,
    unpacked: Vec<u8>,
}

impl Preparer {
    /// Prepares one volume.
    pub fn prepare(&mut self, volume: &Volume) -> Result<Prepared, StageError> {
        let format = SampleFormat::parse(volume).map_err(|e| StageError::invalid(e.to_string()))?;
        let header = header(volume, format)?;
        let samples = match format.encoding {
            Encoding::Zstd => unpack(&volume.samples, 2 * header.len(), &mut self.unpacked)?,
            Encoding::Raw | Encoding::Unspecified => &volume.samples,
        };
        let view = VolumeView::new(header, samples).map_err(|e| StageError::invalid(e.to_string()))?;
        Ok(to_pb(imaging::prepare(&view, &mut self.scratch)))
    }
}

fn header(volume: &Volume, format: SampleFormat) -> Result<Header, StageError> {
    let dims = [volume.columns, volume.rows, volume.slices].map(|n| n as usize);
    let header = Header {
        dims,
        spacing_mm: [volume.spacing_x_mm, volume.spacing_y_mm, volume.spacing_z_mm],
        handedness: match format.handedness {
            Handedness::LeftHanded => imaging::Handedness::Left,
            Handedness::RightHanded | Handedness::Unspecified => imaging::Handedness::Right,
        },
        slope: format.slope,
        intercept: format.intercept,
    };
    // Before anything is unpacked: its size comes from here.
    header.check().map_err(|e| StageError::invalid(e.to_string()))?;
    Ok(header)
}

/// Unpacks exactly `expected` bytes; more than that is never written.
fn unpack<'a>(packed: &[u8], expected: usize, into: &'a mut Vec<u8>) -> Result<&'a [u8], StageError> {
    into.resize(expected, 0);
    let written = zstd::bulk::decompress_to_buffer(packed, into.as_mut_slice()).map_err(|e| {
        StageError::invalid(format!("volume.samples cannot be unpacked ({e}); compress them again"))
    })?;
    if written == expected {
        return Ok(into);
    }
    Err(StageError::invalid(format!("volume.samples unpack to {written} bytes, the header says {expected}")))
}

fn to_pb(prepared: imaging::Prepared) -> Prepared {
    let [columns, rows, slices] = GRID.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let imaging::Quality { snr, motion, coverage, clipped, egg_ml } = prepared.quality;
    let volume = PreparedVolume {
        columns,
        rows,
        slices,
        samples: prepared.samples.into(),
        origin: Some(point(prepared.origin_mm)),
        step: Some(point(prepared.step_mm)),
    };
    let egg = prepared.not_an_egg.is_none();
    Prepared {
        volume: egg.then_some(volume),
        quality: Some(Quality { snr, motion, coverage, clipped, egg_ml }),
        preview: Some(Preview { columns, rows, pixels: prepared.preview.into(), mark_x: None, mark_y: None }),
        not_an_egg: prepared.not_an_egg.unwrap_or_default(),
        version: imaging::VERSION.into(),
    }
}

fn point([x_mm, y_mm, z_mm]: [f32; 3]) -> Point {
    Point { x_mm, y_mm, z_mm }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        Volume {
            columns: 64,
            rows: 64,
            slices: 16,
            spacing_x_mm: 1.0,
            spacing_y_mm: 1.0,
            spacing_z_mm: 2.8,
            samples: vec![0; 131_072].into(),
            ..Default::default()
        }
    }

    #[test]
    fn an_empty_image_is_answered_and_is_no_egg() {
        let prepared = Preparer::default().prepare(&volume()).unwrap();
        assert!(!prepared.not_an_egg.is_empty() && prepared.volume.is_none());
    }

    #[test]
    fn what_is_absent_has_its_documented_meaning_and_what_is_unknown_is_refused() {
        let mut preparer = Preparer::default();
        let mut absent = volume();
        absent.samples = (0..65_536_u32)
            .flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()[..2].to_vec())
            .collect::<Vec<_>>()
            .into();
        let (slope, intercept) = (Some(1.0), Some(0.0));
        let stated = Volume {
            rescale_slope: slope,
            rescale_intercept: intercept,
            handedness: Handedness::RightHanded.into(),
            encoding: Encoding::Raw.into(),
            ..absent.clone()
        };
        assert_eq!(preparer.prepare(&absent).unwrap(), preparer.prepare(&stated).unwrap());
        let unknown = Volume { handedness: 9, ..absent };
        assert!(preparer.prepare(&unknown).unwrap_err().message.contains("volume.handedness is 9"));
    }

    #[test]
    fn packed_samples_give_the_same_as_plain_ones() {
        let mut plain = volume();
        plain.samples =
            (0..131_072u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 25) as u8).collect::<Vec<_>>().into();
        let mut packed = plain.clone();
        packed.samples = zstd::bulk::compress(&plain.samples, 3).unwrap().into();
        packed.encoding = Encoding::Zstd.into();
        let mut preparer = Preparer::default();
        assert_eq!(preparer.prepare(&plain).unwrap(), preparer.prepare(&packed).unwrap());
    }

    #[test]
    fn torn_or_lying_frames_are_refused_and_harm_nothing() {
        let mut preparer = Preparer::default();
        let mut torn = volume();
        let frame = zstd::bulk::compress(&torn.samples, 3).unwrap();
        torn.encoding = Encoding::Zstd.into();
        for length in [0, 1, frame.len() / 2, frame.len() - 1] {
            torn.samples = frame[..length].to_vec().into();
            let error = preparer.prepare(&torn).unwrap_err();
            assert_eq!(error.code, tonic::Code::InvalidArgument);
        }
        torn.samples = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap().into();
        assert!(preparer.prepare(&torn).is_err());
        assert!(preparer.prepare(&volume()).is_ok());
    }
}
