//! Synthetic egg MRI with known truth, for tests, load and training. No service depends on it.
//!
//! An egg is a set of ellipsoids ([`Phantom`]). Their spectrum is sampled in k-space as a scanner would,
//! moved line by line when the embryo moves, thinned out when the scan is a fast one, and transformed to a
//! [`CleanScan`]; a [`Scanner`] adds coil field, Rician noise and gain. A [`Library`] keeps clean scans, so
//! that a load generator pays only for the noise. Everything is made from seeds with a portable generator and
//! without instructions that only some processors have: equal seeds give equal bytes, as far as the system's
//! sines agree in the last bit. [`Observer`] is the best that anybody could do with such scans.
//!
//! ```
//! use ovomesh_phantom::{Class, Grid, Phantom, Profile, Scanner, rng};
//!
//! let egg = Phantom::new(&Profile::nominal(), Class::Female, 7);
//! let clean = egg.render(&Grid::STANDARD);
//! let scan: Vec<u16> = Scanner::with_snr(30.0).acquire(&clean, &mut rng(1));
//! assert_eq!(scan.len(), 64 * 64 * 16);
//! assert!(clean.truth.gonads_mm.is_some());
//! ```

mod anatomy;
mod ball;
mod bayes;
mod builder;
mod class;
mod dead;
mod draw;
mod embryo;
mod field;
mod geometry;
mod grid;
mod kspace;
mod library;
mod motion;
mod noise;
mod profile;
mod render;
mod scan;
mod scanner;
mod undersampling;

pub use anatomy::Phantom;
pub use bayes::Observer;
pub use class::{Class, Death};
pub use draw::{Random, rng, seed_of};
pub use geometry::{Ellipsoid, Mat3, Vec3};
pub use grid::Grid;
pub use library::{BadShares, Library, Shares};
pub use profile::{Profile, Spread};
pub use render::Renderer;
pub use scan::{CleanScan, Truth};
pub use scanner::{NOMINAL_GAIN, Scanner, TRUNK_SIGNAL};
