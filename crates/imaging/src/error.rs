//! What can be wrong with a volume or a DICOM file.

/// Why something cannot be used. Messages say what is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Too few or too many samples along an axis.
    #[error("volume has {value} {field}; {low} to {high} are possible")]
    Samples {
        /// columns, rows or slices.
        field: &'static str,
        /// How many there are.
        value: usize,
        /// Fewest.
        low: usize,
        /// Most.
        high: usize,
    },
    /// A distance of samples out of its range, or not a number.
    #[error("volume has a spacing along {axis} of {value} mm; {low} to {high} mm are possible")]
    Spacing {
        /// x, y or z.
        axis: &'static str,
        /// What it is.
        value: f64,
        /// Smallest.
        low: f64,
        /// Largest.
        high: f64,
    },
    /// Rescaling that cannot be.
    #[error(
        "volume has a rescale slope of {slope} and an intercept of {intercept}; finite numbers and a slope above 0 are possible"
    )]
    Rescale {
        /// The slope.
        slope: f64,
        /// The intercept.
        intercept: f64,
    },
    /// Samples that do not match their header.
    #[error(
        "volume has {got} bytes, its header says {columns}x{rows}x{slices} u16 = {expected}; send it whole"
    )]
    Size {
        /// Bytes there are.
        got: usize,
        /// Samples along x.
        columns: usize,
        /// Samples along y.
        rows: usize,
        /// Samples along z.
        slices: usize,
        /// Bytes there should be.
        expected: usize,
    },
}
