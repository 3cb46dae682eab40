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
        /// Fewest samples that are possible.
        low: usize,
        /// Most samples that are possible.
        high: usize,
    },
    /// A distance of samples out of its range, or not a number.
    #[error("volume has a spacing along {axis} of {value} mm; {low} to {high} mm are possible")]
    Spacing {
        /// x, y or z.
        axis: &'static str,
        /// The distance in millimetres.
        value: f64,
        /// Smallest distance that is possible, in millimetres.
        low: f64,
        /// Largest distance that is possible, in millimetres.
        high: f64,
    },
    /// Rescaling that cannot be.
    #[error(
        "volume has a rescale slope of {slope} and an intercept of {intercept}; finite numbers and a slope above 0 are possible"
    )]
    Rescale {
        /// Factor of the samples: finite and above 0, if valid.
        slope: f64,
        /// Added after the factor: finite, if valid.
        intercept: f64,
    },
    /// Samples that do not match their header.
    #[error(
        "volume has {got} bytes, its header says {columns}x{rows}x{slices} u16 = {expected}; send it whole"
    )]
    Size {
        /// Bytes that arrived.
        got: usize,
        /// Samples along x.
        columns: usize,
        /// Samples along y.
        rows: usize,
        /// Samples along z.
        slices: usize,
        /// Bytes by the header: two for each sample.
        expected: usize,
    },
    /// A file that cannot be opened or read.
    #[error("{file}: cannot be read: {detail}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        detail: String,
    },
    /// Something else than DICOM, or DICOM that breaks its own rules.
    #[error("{file}: not a usable DICOM file: {detail}")]
    NotDicom {
        /// The file.
        file: String,
        /// Why.
        detail: String,
    },
    /// A file that ends before its data does.
    #[error("{file}: cut off: {detail}; send it whole")]
    Truncated {
        /// The file.
        file: String,
        /// What is cut, and where.
        detail: String,
    },
    /// An attribute that is needed and not there.
    #[error("{file}: {name} is missing; {advice}")]
    Missing {
        /// The file.
        file: String,
        /// The attribute: keyword and tag.
        name: String,
        /// Why it is needed, or what to do.
        advice: String,
    },
    /// An attribute whose value cannot be used.
    #[error("{file}: {name} is {value}; {advice}")]
    Attribute {
        /// The file.
        file: String,
        /// The attribute: keyword and tag.
        name: String,
        /// Its value, shortened to 64 characters.
        value: String,
        /// What is possible, and what to do.
        advice: String,
    },
    /// Pixel data that cannot be decoded.
    #[error(
        "{file}: pixel data (transfer syntax {syntax}) cannot be decoded: {detail}; send it uncompressed"
    )]
    Pixels {
        /// The file.
        file: String,
        /// UID of the transfer syntax.
        syntax: String,
        /// Why.
        detail: String,
    },
    /// Images that are no volume.
    #[error("series {series}: {problem}")]
    Series {
        /// SeriesInstanceUID.
        series: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A volume that cannot be written as DICOM.
    #[error("series {series}: cannot be written as DICOM: {detail}")]
    Write {
        /// SeriesInstanceUID.
        series: String,
        /// Why.
        detail: String,
    },
}
