//! Egg MRI: DICOM in, quality control, preprocessing. No network, no service.
//!
//! [`prepare`] brings any volume to the small grid that the model reads, measures the quality of the image, and says why
//! it may be no egg. Training and serving call this one function, so they cannot differ.
//!
//! ```
//! use ovomesh_imaging::{Header, Scratch, VolumeView, prepare};
//!
//! let wire = vec![0u8; 64 * 64 * 16 * 2]; // u16, little endian, x fastest
//! let volume = VolumeView::new(Header::new([64, 64, 16], [1.0, 1.0, 2.8]), &wire)?;
//! let mut scratch = Scratch::default(); // one for each thread
//! let prepared = prepare(&volume, &mut scratch);
//! assert_eq!(prepared.samples.len(), 48 * 48 * 16);
//! assert!(prepared.not_an_egg.is_some(), "there is nothing in it");
//! # Ok::<(), ovomesh_imaging::Error>(())
//! ```

pub mod dicom;
mod error;
mod grid;
mod mask;
mod motion;
mod plausible;
mod prepare;
mod preview;
mod quality;
mod resample;
mod sums;
mod turn;
mod volume;

pub use error::Error;
pub use grid::SPACING_MM as GRID_SPACING_MM;
pub use prepare::{GRID, Prepared, Scratch, VERSION, prepare, prepare_shifted, quality};
pub use quality::Quality;
pub use turn::ImageAxis;
pub use volume::{Handedness, Header, IN_PLANE, SLICES, SPACING_MM, Volume, VolumeView};
