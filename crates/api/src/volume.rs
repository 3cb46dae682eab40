//! A volume as the scanner sent it, checked against its own header.

use bytes::Bytes;

use crate::pb::scan::v1 as pb;
use crate::{Invalid, thousands};

/// Fewest and most samples along x and y.
pub const IN_PLANE: std::ops::RangeInclusive<u32> = 8..=512;
/// Fewest and most slices.
pub const SLICES: std::ops::RangeInclusive<u32> = 4..=512;
/// Smallest and largest distance of samples in millimetres.
pub const SPACING_MM: std::ops::RangeInclusive<f64> = 0.05..=20.0;
/// Largest volume that a server takes by default, in bytes: 128 x 128 x 128 samples of two bytes.
pub const MAX_VOLUME_BYTES: u64 = 4 << 20;

/// A checked volume. The bytes are those of the wire: nothing is copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    header: Header,
    samples: Bytes,
    checksum: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct Header {
    dims: [u32; 3],
    spacing_mm: [f64; 3],
    format: SampleFormat,
}

/// How the samples of a volume are to be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleFormat {
    /// Which way the slices run; never `Unspecified`.
    pub handedness: pb::Handedness,
    /// How the samples are packed; never `Unspecified`.
    pub encoding: pb::Encoding,
    /// Real value = sample * slope + intercept; finite and above 0.
    pub slope: f64,
    /// Added after `slope`; finite.
    pub intercept: f64,
}

impl SampleFormat {
    /// Reads the fields that a volume may leave out, each with its documented meaning when it is absent.
    pub fn parse(volume: &pb::Volume) -> Result<Self, Invalid> {
        let handedness = match pb::Handedness::try_from(volume.handedness) {
            Ok(pb::Handedness::Unspecified) => pb::Handedness::RightHanded,
            Ok(known) => known,
            Err(_) => return Err(Invalid::field("volume.handedness", volume.handedness, "1 or 2")),
        };
        let encoding = match pb::Encoding::try_from(volume.encoding) {
            Ok(pb::Encoding::Unspecified) => pb::Encoding::Raw,
            Ok(known) => known,
            Err(_) => return Err(Invalid::field("volume.encoding", volume.encoding, "1 (RAW) or 2 (ZSTD)")),
        };
        let slope = volume.rescale_slope.unwrap_or(1.0);
        if !(slope.is_finite() && slope > 0.0) {
            return Err(Invalid::field("volume.rescale_slope", slope, "a finite number above 0"));
        }
        let intercept = volume.rescale_intercept.unwrap_or(0.0);
        if !intercept.is_finite() {
            return Err(Invalid::field("volume.rescale_intercept", intercept, "a finite number"));
        }
        Ok(Self { handedness, encoding, slope, intercept })
    }
}

/// The smallest valid volume, every sample the same: for tests.
pub fn smallest(sample: u16) -> pb::Volume {
    let (side, slices) = (*IN_PLANE.start(), *SLICES.start());
    let samples = sample.to_le_bytes().repeat((side * side * slices) as usize);
    pb::Volume {
        columns: side,
        rows: side,
        slices,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
        spacing_z_mm: 2.8,
        samples: samples.into(),
        ..Default::default()
    }
}

impl Volume {
    /// Checks `volume` against the contract and against `max_bytes` (as sent and as unpacked).
    pub fn parse(volume: pb::Volume, max_bytes: u64) -> Result<Self, Invalid> {
        let header = Header::parse(&volume)?;
        header.check_size(&volume.samples, max_bytes)?;
        let checksum = crc32c::crc32c(&volume.samples);
        if let Some(stated) = volume.crc32c.filter(|&stated| stated != checksum) {
            let error = Invalid::field("volume.crc32c", format!("{stated:08x}"), format!("{checksum:08x}"));
            return Err(error.because(
                pb::RejectCode::Checksum,
                format!(
                    "the samples have CRC-32C {checksum:08x}, the message says {stated:08x}; send it again"
                ),
            ));
        }
        Ok(Self { header, samples: volume.samples, checksum })
    }

    /// Samples along x, y and z.
    pub fn dims(&self) -> [u32; 3] {
        self.header.dims
    }

    /// Bytes of the samples as sent: compressed, if they were.
    pub fn bytes(&self) -> usize {
        self.samples.len()
    }

    /// CRC-32C of the bytes as sent.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Back to the wire, for the next stage.
    pub fn into_pb(self) -> pb::Volume {
        let Header { dims: [columns, rows, slices], spacing_mm, format } = self.header;
        pb::Volume {
            columns,
            rows,
            slices,
            spacing_x_mm: spacing_mm[0],
            spacing_y_mm: spacing_mm[1],
            spacing_z_mm: spacing_mm[2],
            handedness: format.handedness.into(),
            encoding: format.encoding.into(),
            samples: self.samples,
            crc32c: Some(self.checksum),
            rescale_slope: Some(format.slope),
            rescale_intercept: Some(format.intercept),
        }
    }
}

impl Header {
    fn parse(volume: &pb::Volume) -> Result<Self, Invalid> {
        let dims = [
            within("volume.columns", volume.columns, IN_PLANE)?,
            within("volume.rows", volume.rows, IN_PLANE)?,
            within("volume.slices", volume.slices, SLICES)?,
        ];
        let spacing_mm = [
            spacing("volume.spacing_x_mm", volume.spacing_x_mm)?,
            spacing("volume.spacing_y_mm", volume.spacing_y_mm)?,
            spacing("volume.spacing_z_mm", volume.spacing_z_mm)?,
        ];
        Ok(Self { dims, spacing_mm, format: SampleFormat::parse(volume)? })
    }

    /// Bytes of the unpacked samples. Cannot overflow: the largest grid has 2^28 bytes.
    fn unpacked_bytes(&self) -> u64 {
        self.dims.iter().map(|&n| u64::from(n)).product::<u64>() * 2
    }

    fn check_size(&self, samples: &Bytes, max_bytes: u64) -> Result<(), Invalid> {
        let ([columns, rows, slices], sent) = (self.dims, samples.len() as u64);
        let expected = self.unpacked_bytes();
        let grid = format!("{columns}x{rows}x{slices} u16 = {}", thousands(expected));
        let error = Invalid::field("volume.samples", thousands(sent), thousands(expected));
        if expected.max(sent) > max_bytes {
            let limit = thousands(max_bytes);
            let message = format!(
                "volume has {} bytes ({grid}); this server takes {limit}",
                thousands(expected.max(sent))
            );
            return Err(Invalid { limit, ..error }.because(pb::RejectCode::TooLarge, message));
        }
        match self.format.encoding {
            pb::Encoding::Zstd => self.check_frame(samples, expected, error),
            _ if sent == expected => Ok(()),
            _ => {
                let message =
                    format!("volume has {} bytes, its header says {grid}; send it whole", thousands(sent));
                Err(error.because(pb::RejectCode::SizeMismatch, message))
            }
        }
    }

    /// The frame's header must state the size, so that a small message can't unpack into a large one.
    fn check_frame(&self, samples: &Bytes, expected: u64, error: Invalid) -> Result<(), Invalid> {
        let message = match zstd::zstd_safe::get_frame_content_size(samples) {
            Ok(Some(stated)) if stated == expected => return Ok(()),
            Ok(Some(stated)) => format!(
                "volume.samples unpack to {} bytes, the header says {}; send it whole",
                thousands(stated),
                thousands(expected)
            ),
            Ok(None) => "volume.samples: the Zstandard frame does not state its content size; \
                         compress the samples in one call, or send them RAW"
                .to_owned(),
            Err(_) => "volume.samples are not a Zstandard frame; check volume.encoding".to_owned(),
        };
        Err(error.because(pb::RejectCode::Encoding, message))
    }
}

fn within(field: &'static str, value: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, Invalid> {
    let limit = || format!("{} to {} samples", range.start(), range.end());
    if range.contains(&value) { Ok(value) } else { Err(Invalid::field(field, value, limit())) }
}

fn spacing(field: &'static str, value: f64) -> Result<f64, Invalid> {
    let limit = || format!("{} to {} mm", SPACING_MM.start(), SPACING_MM.end());
    if SPACING_MM.contains(&value) { Ok(value) } else { Err(Invalid::field(field, value, limit())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nominal() -> pb::Volume {
        pb::Volume {
            columns: 64,
            rows: 64,
            slices: 16,
            spacing_x_mm: 1.0,
            spacing_y_mm: 1.0,
            spacing_z_mm: 2.8,
            samples: vec![7; 131_072].into(),
            ..Default::default()
        }
    }

    fn error(change: impl FnOnce(&mut pb::Volume)) -> Invalid {
        let mut volume = nominal();
        change(&mut volume);
        Volume::parse(volume, MAX_VOLUME_BYTES).unwrap_err()
    }

    #[test]
    fn a_valid_volume_keeps_its_bytes_without_a_copy() {
        let sent = nominal();
        let at = sent.samples.as_ptr();
        let volume = Volume::parse(sent, MAX_VOLUME_BYTES).unwrap();
        assert_eq!(volume.into_pb().samples.as_ptr(), at);
    }

    #[test]
    fn the_smallest_volume_is_valid_and_nothing_smaller_is() {
        assert!(Volume::parse(smallest(7), MAX_VOLUME_BYTES).is_ok());
        type Shrink = fn(&mut pb::Volume);
        let shrinks: [Shrink; 3] = [|v| v.columns -= 1, |v| v.rows -= 1, |v| v.slices -= 1];
        for shrink in shrinks {
            let mut volume = smallest(7);
            shrink(&mut volume);
            volume.samples.truncate(2 * (volume.columns * volume.rows * volume.slices) as usize);
            let error = Volume::parse(volume, MAX_VOLUME_BYTES).unwrap_err();
            assert!(error.message.contains(" to 512 samples"), "{error}");
        }
    }

    #[test]
    fn a_short_volume_is_told_what_is_missing() {
        let error = error(|v| v.samples = v.samples.slice(2..));
        assert_eq!(error.code, pb::RejectCode::SizeMismatch);
        assert_eq!(
            error.message,
            "volume has 131,070 bytes, its header says 64x64x16 u16 = 131,072; send it whole"
        );
    }

    #[test]
    fn each_field_out_of_range_is_named() {
        type Change = fn(&mut pb::Volume);
        let table: [(&str, Change); 9] = [
            ("volume.columns", |v| v.columns = 0),
            ("volume.rows", |v| v.rows = u32::MAX),
            ("volume.slices", |v| v.slices = 1),
            ("volume.spacing_x_mm", |v| v.spacing_x_mm = f64::NAN),
            ("volume.spacing_z_mm", |v| v.spacing_z_mm = 0.0),
            ("volume.handedness", |v| v.handedness = 9),
            ("volume.encoding", |v| v.encoding = -1),
            ("volume.rescale_slope", |v| v.rescale_slope = Some(0.0)),
            ("volume.crc32c", |v| v.crc32c = Some(1)),
        ];
        for (field, change) in table {
            assert_eq!(error(change).field, field);
        }
    }

    #[test]
    fn a_small_frame_that_unpacks_into_a_large_volume_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        let error = error(|v| (v.samples, v.encoding) = (bomb.into(), pb::Encoding::Zstd.into()));
        assert_eq!(error.code, pb::RejectCode::Encoding);
        let whole = zstd::bulk::compress(&vec![0; 131_072], 1).unwrap();
        let mut volume = nominal();
        (volume.samples, volume.encoding) = (whole.into(), pb::Encoding::Zstd.into());
        assert!(Volume::parse(volume, MAX_VOLUME_BYTES).is_ok());
    }

    #[test]
    fn a_volume_over_the_server_limit_names_both_sizes() {
        let error = error(|v| (v.columns, v.rows, v.slices) = (512, 512, 16));
        assert_eq!(error.code, pb::RejectCode::TooLarge);
        assert!(error.message.contains("8,388,608") && error.message.contains("4,194,304"), "{error}");
    }
}
