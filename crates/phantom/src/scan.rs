//! A scan without noise, and what is true of it.

use crate::{
    class::{Class, Death},
    geometry::{Mat3, Vec3},
    grid::Grid,
};

/// What is true of a scan. Positions are in millimetres from the first sample's centre of the scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// What the egg holds.
    pub class: Class,
    /// When a dead embryo died; `None` for all else.
    pub death: Option<Death>,
    /// Asymmetry of the gonads: the left one has the share (1 + a) / 2 of their volume. 0 without a living
    /// embryo.
    pub asymmetry: f64,
    /// Amplitude of the embryo's (or, by `Profile::shake_share`, the egg's) motion in millimetres; 0 when it
    /// kept still.
    pub motion_mm: f64,
    /// Centre of the egg.
    pub egg_mm: Vec3,
    /// Volume of the egg in millilitres.
    pub egg_ml: f64,
    /// Centres of the left and the right gonad of a living embryo.
    pub gonads_mm: Option<[Vec3; 2]>,
    /// The axes of a living embryo as columns: towards its head, its right, its belly.
    pub rotation: Option<Mat3>,
    /// Centre of a living embryo's frame.
    pub body_mm: Option<Vec3>,
    /// Size of a living embryo: a factor on lengths, about 1.
    pub size: Option<f64>,
}

/// A scan without noise, bias or gain: magnitudes, x fastest, then y, then z. The trunk of an embryo is about
/// 0.45.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanScan {
    /// Magnitudes, 0 or more.
    pub samples: Vec<f32>,
    /// Where they were sampled.
    pub grid: Grid,
    /// What is true of it.
    pub truth: Truth,
}
