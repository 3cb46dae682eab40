//! The input of the net: the grid that preprocessing gives.

/// Samples of the input along z, y, x.
pub(crate) const INPUT: [i64; 3] = [16, 48, 48];
/// Distance of the input's samples in millimetres along z, y, x: the grid that preprocessing gives.
pub(crate) const SPACING_MM: [f64; 3] = [2.8, 1.0, 1.0];
