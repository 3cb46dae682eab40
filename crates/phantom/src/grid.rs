//! Where a scanner samples.

/// A regular grid of samples: x across columns, y down rows, z across slices.
///
/// The isocentre, where eggs lie, is sample `columns / 2` in x, `rows / 2` in y and the middle between the
/// two middle slices (or the middle slice) in z: as a Fourier transform of an even number of samples puts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Samples along x, the read direction; even, at least 8.
    pub columns: usize,
    /// Samples along y, the phase direction; even, at least 8.
    pub rows: usize,
    /// Samples along z; at least 4.
    pub slices: usize,
    /// Distance of samples along x, y and z in millimetres, 0.4 or more.
    pub spacing_mm: [f64; 3],
}

impl Grid {
    /// 64 x 64 x 16 samples of 1 x 1 x 2.8 mm, 128 KiB as u16: what a fast line sends.
    pub const STANDARD: Self = Self { columns: 64, rows: 64, slices: 16, spacing_mm: [1.0, 1.0, 2.8] };
    /// 64 x 64 x 64 samples of 1 mm, 512 KiB as u16.
    pub const FINE: Self = Self { columns: 64, rows: 64, slices: 64, spacing_mm: [1.0; 3] };
    /// 128 x 128 x 128 samples of 0.5 mm, 4 MiB as u16.
    pub const FINEST: Self = Self { columns: 128, rows: 128, slices: 128, spacing_mm: [0.5; 3] };

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.columns * self.rows * self.slices
    }

    /// Whether it has no samples; a grid that can be rendered never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of a scan of this grid as u16.
    pub fn bytes(&self) -> usize {
        2 * self.len()
    }

    /// Volume of one voxel in cubic millimetres.
    pub fn voxel_mm3(&self) -> f64 {
        self.spacing_mm.iter().product()
    }

    /// Position of the isocentre in millimetres from the first sample's centre.
    pub fn isocentre_mm(&self) -> [f64; 3] {
        let [x, y, z] = self.spacing_mm;
        [(self.columns / 2) as f64 * x, (self.rows / 2) as f64 * y, (self.slices as f64 - 1.0) / 2.0 * z]
    }

    /// # Panics
    /// When the grid breaks what its fields document: grids are written by programmers, not sent by peers.
    pub(crate) fn check(&self) {
        assert!(
            self.columns >= 8
                && self.columns.is_multiple_of(2)
                && self.rows >= 8
                && self.rows.is_multiple_of(2)
                && self.slices >= 4,
            "a phantom grid needs even columns and rows of 8 or more and 4 or more slices, not {self:?}"
        );
        assert!(
            self.spacing_mm.iter().all(|s| (0.4..=20.0).contains(s)),
            "a phantom grid needs a spacing of 0.4 to 20 mm, not {self:?}"
        );
    }
}
