//! An embryo, or a whole egg, that moves while it is scanned.

use std::f64::consts::TAU;

use crate::{draw::Draw, profile::Profile};

/// Displacement as a function of time: a swing, and in half of the cases one jerk. Phase-encoding lines
/// are acquired in order of ky, so time runs along ky and motion shows as ghosts and blur along y.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Motion {
    /// Amplitude in millimetres.
    pub(crate) amplitude_mm: f64,
    /// Whether the whole egg moves, not its embryo alone.
    pub(crate) whole: bool,
    direction: [f64; 2],
    swings: f64,
    phase: f64,
    jerk_at: Option<f64>,
}

impl Motion {
    pub(crate) fn draw(profile: &Profile, whole: bool, draw: &mut Draw) -> Self {
        let [low, high] = profile.motion_mm;
        let amplitude_mm = draw.uniform(low, high);
        let swings = draw.uniform(1.0, 6.0);
        let phase = draw.uniform(0.0, TAU);
        let jerk_at = draw.chance(0.5).then(|| draw.uniform(0.2, 0.9));
        let (sin, cos) = draw.uniform(0.0, TAU).sin_cos();
        Self { amplitude_mm, whole, direction: [cos, sin], swings, phase, jerk_at }
    }

    /// Displacement in x and y, in millimetres, at a time of 0 (start of the scan) to 1 (its end).
    pub(crate) fn displacement_mm(&self, time: f64) -> [f64; 2] {
        let swing = (TAU * self.swings * time + self.phase).sin();
        let jerk = if self.jerk_at.is_some_and(|at| time > at) { 1.0 } else { 0.0 };
        self.direction.map(|d| d * self.amplitude_mm * (swing + jerk))
    }
}
