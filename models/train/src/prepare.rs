//! From a raw scan to the net's input, by the preprocessing that the service runs.

use ovomesh_imaging::{Header, Prepared, Scratch, VolumeView, prepare_shifted};
use ovomesh_phantom::Grid;

/// Prepares phantoms' scans of one grid.
pub(crate) struct Preparer {
    header: Header,
    scratch: Scratch,
}

impl Preparer {
    /// For scans of this grid.
    pub(crate) fn new(grid: &Grid) -> Self {
        let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
        Self { header, scratch: Scratch::default() }
    }

    /// Prepares one scan, with the window moved by some samples along x and y.
    ///
    /// # Panics
    /// When `raw` is not a scan of the grid.
    pub(crate) fn prepare(&mut self, raw: &[u8], [x, y]: [i32; 2]) -> Prepared {
        let volume =
            VolumeView::new(self.header, raw).expect("a phantom's scan is a valid volume of its own grid");
        prepare_shifted(&volume, &mut self.scratch, [x, y, 0])
    }
}
