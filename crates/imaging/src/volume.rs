//! A volume as it arrives: a regular grid of 16-bit samples.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::Error;

/// Fewest and most samples along x and y.
pub const IN_PLANE: RangeInclusive<usize> = 8..=512;
/// Fewest and most slices.
pub const SLICES: RangeInclusive<usize> = 4..=512;
/// Smallest and largest distance of samples in millimetres.
pub const SPACING_MM: RangeInclusive<f64> = 0.05..=20.0;

/// Whether x, y, z form a right-handed system. In a mirrored egg the ovary is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handedness {
    /// As it should be.
    Right,
    /// The slices run the other way.
    Left,
}

/// What is known of a volume beside its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// Samples along x (columns), y (rows) and z (slices): 8 to 512, 8 to 512, 4 to 512.
    pub dims: [usize; 3],
    /// Distance of samples along x, y and z in millimetres, 0.05 to 20.
    pub spacing_mm: [f64; 3],
    /// Direction of the slices.
    pub handedness: Handedness,
    /// Real value = sample * slope + intercept. Above 0.
    pub slope: f64,
    /// Added after `slope`; finite.
    pub intercept: f64,
}

impl Header {
    /// A right-handed volume whose samples are real values.
    pub fn new(dims: [usize; 3], spacing_mm: [f64; 3]) -> Self {
        Self { dims, spacing_mm, handedness: Handedness::Right, slope: 1.0, intercept: 0.0 }
    }

    /// Number of samples: columns x rows x slices.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether it has no samples, which no valid header has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks every field against its range.
    pub fn check(&self) -> Result<(), Error> {
        let limits = [("columns", IN_PLANE), ("rows", IN_PLANE), ("slices", SLICES)];
        for ((field, limit), value) in limits.into_iter().zip(self.dims) {
            if !limit.contains(&value) {
                return Err(Error::Samples { field, value, low: *limit.start(), high: *limit.end() });
            }
        }
        for (axis, value) in ["x", "y", "z"].into_iter().zip(self.spacing_mm) {
            if !SPACING_MM.contains(&value) {
                return Err(Error::Spacing {
                    axis,
                    value,
                    low: *SPACING_MM.start(),
                    high: *SPACING_MM.end(),
                });
            }
        }
        if !(self.slope.is_finite() && self.slope > 0.0 && self.intercept.is_finite()) {
            return Err(Error::Rescale { slope: self.slope, intercept: self.intercept });
        }
        Ok(())
    }
}

/// A checked volume whose samples belong to somebody else: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct VolumeView<'a> {
    header: Header,
    samples: &'a [u8],
}

impl<'a> VolumeView<'a> {
    /// `samples`: u16, little endian, x fastest, then y, then z.
    pub fn new(header: Header, samples: &'a [u8]) -> Result<Self, Error> {
        header.check()?;
        if samples.len() != 2 * header.len() {
            let [columns, rows, slices] = header.dims;
            return Err(Error::Size {
                got: samples.len(),
                columns,
                rows,
                slices,
                expected: 2 * header.len(),
            });
        }
        Ok(Self { header, samples })
    }

    /// What is known of it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its samples: u16, little endian, x fastest.
    pub fn samples(&self) -> &'a [u8] {
        self.samples
    }
}

/// A checked volume that owns its samples; clones share them.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    header: Header,
    samples: Bytes,
}

impl Volume {
    /// `samples`: u16, little endian, x fastest, then y, then z.
    pub fn new(header: Header, samples: Bytes) -> Result<Self, Error> {
        VolumeView::new(header, &samples)?;
        Ok(Self { header, samples })
    }

    /// From samples as numbers.
    pub fn from_u16(header: Header, samples: &[u16]) -> Result<Self, Error> {
        Self::new(header, samples.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// What is known of it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its samples: u16, little endian, x fastest.
    pub fn samples(&self) -> &Bytes {
        &self.samples
    }

    /// A view of it.
    pub fn view(&self) -> VolumeView<'_> {
        VolumeView { header: self.header, samples: &self.samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        dims: [8, 8, 4],
        spacing_mm: [1.0, 1.0, 2.8],
        handedness: Handedness::Right,
        slope: 1.0,
        intercept: 0.0,
    };

    #[test]
    fn each_field_out_of_range_is_named() {
        type Change = fn(&mut Header);
        let table: [(&str, Change); 9] = [
            ("columns", |h| h.dims[0] = 7),
            ("rows", |h| h.dims[1] = 513),
            ("slices", |h| h.dims[2] = 3),
            ("spacing along x", |h| h.spacing_mm[0] = f64::NAN),
            ("spacing along y", |h| h.spacing_mm[1] = 0.0),
            ("spacing along z", |h| h.spacing_mm[2] = 20.1),
            ("slope", |h| h.slope = 0.0),
            ("intercept", |h| h.intercept = f64::INFINITY),
            ("512 bytes", |h| h.dims[2] = 5),
        ];
        for (named, change) in table {
            let mut header = HEADER;
            change(&mut header);
            let error = VolumeView::new(header, &[0; 512]).unwrap_err().to_string();
            assert!(error.contains(named), "{error} does not name {named}");
        }
        assert!(VolumeView::new(HEADER, &[0; 512]).is_ok());
    }
}
