//! From a raw scan to the net's input, by the preprocessing that the service runs, or without one of its steps to see what
//! the step is good for.

use clap::ValueEnum;
use ovomesh_imaging::{GRID, Header, Prepared, Scratch, VolumeView, prepare_shifted};
use ovomesh_phantom::{Grid, NOMINAL_GAIN};
use serde::{Deserialize, Serialize};

/// A step of preprocessing that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The window is put around the egg; without it, in the middle of the image.
    Centring,
    /// Every volume gets the same brightness; without it, all are scaled alike, for the scanner's mean gain.
    Standardising,
}

/// Prepares phantoms' scans of one grid.
pub(crate) struct Preparer {
    header: Header,
    grid: Grid,
    scratch: Scratch,
    without: Option<Step>,
}

/// What a prepared sample is for a signal of 1 at the mean gain when nothing is standardised: about what
/// standardising makes of it.
const FIXED: f32 = 175.0;

impl Preparer {
    /// For scans of this grid.
    pub(crate) fn new(grid: &Grid, without: Option<Step>) -> Self {
        let header = Header::new([grid.columns, grid.rows, grid.slices], grid.spacing_mm);
        Self { header, grid: *grid, scratch: Scratch::default(), without }
    }

    /// Prepares one scan, with the window moved by some samples along x and y.
    ///
    /// # Panics
    /// When `raw` is not a scan of the grid.
    pub(crate) fn prepare(&mut self, raw: &[u8], [x, y]: [i32; 2]) -> Prepared {
        let volume =
            VolumeView::new(self.header, raw).expect("a phantom's scan is a valid volume of its own grid");
        let mut prepared = prepare_shifted(&volume, &mut self.scratch, [x, y, 0]);
        if self.without == Some(Step::Centring) {
            // From where the window would be without any shift.
            let middle = |i: usize, size: usize, shift: i32| {
                let start = (prepared.origin_mm[i] / prepared.step_mm[i]).round() as i32 - shift;
                (size - GRID[i]) as i32 / 2 - start
            };
            let shift = [x + middle(0, self.grid.columns, x), y + middle(1, self.grid.rows, y), 0];
            prepared = prepare_shifted(&volume, &mut self.scratch, shift);
        }
        if self.without == Some(Step::Standardising) {
            prepared.samples = self.fixed(raw, &prepared);
        }
        prepared
    }

    /// The same window with a fixed scale.
    fn fixed(&self, raw: &[u8], prepared: &Prepared) -> Vec<u8> {
        let scale = FIXED / NOMINAL_GAIN as f32;
        let [x0, y0, z0] = [0, 1, 2].map(|i| (prepared.origin_mm[i] / prepared.step_mm[i]).round() as usize);
        let mut samples = Vec::with_capacity(GRID.iter().product());
        for z in z0..z0 + GRID[2] {
            for y in y0..y0 + GRID[1] {
                let line = (z * self.grid.rows + y) * self.grid.columns + x0;
                let (line, _) = raw[2 * line..][..2 * GRID[0]].as_chunks::<2>();
                samples
                    .extend(line.iter().map(|&bytes| (f32::from(u16::from_le_bytes(bytes)) * scale) as u8));
            }
        }
        samples
    }
}
