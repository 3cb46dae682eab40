//! Every number of a phantom that somebody may want to change.

use std::f64::consts::PI;

/// Mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
}

/// How eggs and embryos vary. No real egg MRI was at hand: these are textbook sizes and assumptions, so
/// nothing that is measured on phantoms says how well real eggs can be sexed.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Semi-axes of the egg in millimetres: length, breadth, breadth. Known: about 57 x 44 mm (shell
    /// included).
    pub egg_mm: [f64; 3],
    /// Standard deviation of the egg's size (a factor on lengths).
    pub egg_size_sd: f64,
    /// The egg lies off the isocentre by up to this many millimetres in x, y and z.
    pub egg_offset_mm: [f64; 3],
    /// The egg's long axis turns in plane and out of plane by up to this many radians.
    pub egg_turn_rad: [f64; 2],
    /// Standard deviation of the embryo's size (a factor on lengths).
    pub embryo_size_sd: f64,
    /// Turn about the spine, uniform in +- this many radians. 0: the embryo lies on its back, belly to +z.
    pub roll_rad: f64,
    /// Tilt of the spine out of the slice plane, uniform in +- this many radians.
    pub tilt_rad: f64,
    /// Direction of the spine in the slice plane, uniform in +- this many radians.
    pub yaw_rad: f64,
    /// Semi-axes of one testis in millimetres. Unrealistic on purpose: life is about 1.25 x 0.5 x 0.45.
    pub gonad_mm: [f64; 3],
    /// Standard deviation of the log of the two gonads' total volume, the same in both sexes.
    pub gonad_size_sd: f64,
    /// Signal of a gonad above its surroundings, where the trunk is 0.45. An assumption.
    pub gonad_contrast: f64,
    /// Relative standard deviation of that contrast.
    pub gonad_contrast_sd: f64,
    /// Asymmetry a of females: the left gonad has the share (1 + a) / 2 of the total volume, the right one
    /// the rest.
    pub asymmetry_female: Spread,
    /// Asymmetry of males.
    pub asymmetry_male: Spread,
    /// Blobs with the contrast of a gonad at random places in the belly.
    pub distractors: u32,
    /// Relative standard deviation of every tissue's signal.
    pub tissue_sd: f64,
    /// Share of dead embryos that died mid-term, on days 8 to 12; the others died on days 2 to 7. More than
    /// hatcheries see, where most die early or just before hatching.
    pub mid_term_share: f64,
    /// Share of living embryos that move during the scan.
    pub motion_share: f64,
    /// Share of scans in which the whole egg moves, whatever it holds: a conveyor that shakes. 0 in all
    /// profiles.
    pub shake_share: f64,
    /// Smallest and largest amplitude of either motion in millimetres.
    pub motion_mm: [f64; 2],
    /// Share of the phase-encoding lines (ky) that the scanner acquires: the centre eighth, others at random,
    /// the rest filled with zeros. 1, all of them, in all profiles; a fast scan takes 0.5. Above 0.
    pub acquired_lines: f64,
}

impl Profile {
    /// The names of all profiles, for [`Profile::named`].
    pub const NAMES: [&str; 3] = ["nominal", "hard", "small"];

    /// A profile by its name, one of [`Profile::NAMES`].
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "nominal" => Some(Self::nominal()),
            "hard" => Some(Self::hard()),
            "small" => Some(Self::small()),
            _ => None,
        }
    }

    /// Embryos that lie nearly alike: what a model for one known pose is trained on.
    pub fn nominal() -> Self {
        Self { roll_rad: 0.4, tilt_rad: 0.2, yaw_rad: 0.4, distractors: 3, ..Self::hard() }
    }

    /// The pose of `nominal` with smaller and fainter gonads: a step towards life.
    pub fn small() -> Self {
        Self { gonad_mm: [1.6, 0.8, 0.7], gonad_contrast: 0.25, ..Self::nominal() }
    }

    /// Embryos in any pose, with more blobs that look like gonads.
    pub fn hard() -> Self {
        Self {
            egg_mm: [27.5, 21.0, 20.5],
            egg_size_sd: 0.03,
            egg_offset_mm: [1.5, 1.5, 1.0],
            egg_turn_rad: [0.15, 0.1],
            embryo_size_sd: 0.05,
            roll_rad: PI,
            tilt_rad: 0.35,
            yaw_rad: PI,
            gonad_mm: [2.0, 1.0, 0.9],
            gonad_size_sd: 0.10,
            gonad_contrast: 0.35,
            gonad_contrast_sd: 0.08,
            asymmetry_female: Spread { mean: 0.75, sd: 0.08 },
            asymmetry_male: Spread { mean: 0.0, sd: 0.08 },
            distractors: 5,
            tissue_sd: 0.06,
            mid_term_share: 0.5,
            motion_share: 0.15,
            shake_share: 0.0,
            motion_mm: [0.2, 1.5],
            acquired_lines: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_a_name() {
        for name in Profile::NAMES {
            assert!(Profile::named(name).is_some(), "{name}");
        }
        assert_eq!(Profile::named("small"), Some(Profile::small()));
        assert_eq!(Profile::named("Nominal"), None);
    }
}
