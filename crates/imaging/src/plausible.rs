//! Can this be an egg at all? Geometry only: what looks like an egg and is none is for the model to find
//! strange.

use std::ops::RangeInclusive;

use crate::{grid::SPACING_MM, mask::Mask, quality::Quality};

/// Volumes of the mask that an egg can have. Hens lay 35 to 75 ml; the mask leaves the air cell out and takes
/// some blur in; an egg that is cut shows less.
const EGG_ML: RangeInclusive<f64> = 25.0..=90.0;
/// Semi-axes of an egg in millimetres (hens: 19 to 32), as far as the mask shows them.
const SEMI_AXIS_MM: RangeInclusive<f64> = 12.0..=38.0;
/// Longest over shortest axis; eggs have 1.2 to 1.5.
const MAX_ELONGATION: f64 = 2.0;
/// Least SNR at which a mask means something: at 3 and less the threshold lies in the noise.
const MIN_SNR: f64 = 3.0;
/// Least share of the egg inside the image.
const MIN_COVERAGE: f64 = 0.5;
/// Volume of the mask over that of the ellipsoid with the same variances: 1 for a solid egg, less with holes
/// or for scattered parts. Eggs with an air cell and a dark embryo have more than 0.85.
const MIN_SOLIDITY: f64 = 0.7;

/// Why this is no image of an egg, for people; nothing when it may be one.
pub(crate) fn not_an_egg(mask: &Mask, quality: &Quality) -> Option<String> {
    let [snr, coverage, ml] = [quality.snr, quality.coverage, quality.egg_ml].map(f64::from);
    if snr < MIN_SNR {
        return Some(format!(
            "nothing stands out from its surroundings (SNR {snr:.1}, an egg has more than {MIN_SNR}; {ml:.0} ml): \
             an empty coil, something far smaller than an egg, or something that fills the whole image"
        ));
    }
    if coverage < MIN_COVERAGE {
        return Some(format!(
            "what is there reaches the edges of the image (about {:.0} % of it is inside); is the field of view right?",
            100.0 * coverage
        ));
    }
    if !EGG_ML.contains(&ml) {
        let (low, high) = (EGG_ML.start(), EGG_ML.end());
        return Some(format!(
            "what is there has {ml:.0} ml, an egg has {low} to {high}; is the spacing right?"
        ));
    }
    let axes = [0, 1, 2].map(|axis| semi_axis_mm(mask, axis));
    let [a, b, c] = axes;
    let (short, long) = (a.min(b).min(c), a.max(b).max(c));
    if !SEMI_AXIS_MM.contains(&short) || !SEMI_AXIS_MM.contains(&long) || long > MAX_ELONGATION * short {
        return Some(format!(
            "what is there measures {:.0} x {:.0} x {:.0} mm, which is no egg's shape; is the spacing right?",
            2.0 * a,
            2.0 * b,
            2.0 * c
        ));
    }
    let solidity = ml * 1000.0 / (4.0 / 3.0 * std::f64::consts::PI * a * b * c);
    if solidity < MIN_SOLIDITY {
        return Some(format!(
            "what is there fills {:.0} % of its outline, an egg fills {:.0} or more: it is hollow or in parts",
            100.0 * solidity,
            100.0 * MIN_SOLIDITY
        ));
    }
    None
}

/// The semi-axis of an ellipsoid with the mask's variance: a solid one has a variance of a^2 / 5.
fn semi_axis_mm(mask: &Mask, axis: usize) -> f64 {
    (5.0 * mask.variance(axis)).sqrt() * SPACING_MM[axis]
}
