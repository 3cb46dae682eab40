//! One egg: what it is made of, as ellipsoids, where everything is, and how it moves.

use crate::{
    builder::{Builder, RoundYolk},
    class::{Class, Death},
    dead,
    embryo::{self, Embryo},
    geometry::{Ellipsoid, Vec3},
    motion::Motion,
    profile::Profile,
    undersampling::Lines,
};

/// One egg with known truth: what it is made of, where everything is, and how it moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Phantom {
    pub(crate) class: Class,
    pub(crate) death: Option<Death>,
    pub(crate) ellipsoids: Vec<Ellipsoid>,
    pub(crate) motion: Option<Motion>,
    /// The lines of k-space that are acquired; `None`: all.
    pub(crate) lines: Option<Lines>,
    pub(crate) egg_centre_mm: Vec3,
    pub(crate) embryo: Option<Embryo>,
}

impl Phantom {
    /// Draws an egg of a class. The same profile, class and seed give the same egg.
    pub fn new(profile: &Profile, class: Class, seed: u64) -> Self {
        let mut build = Builder::new(profile, seed);
        build.egg();
        let (mut embryo, mut death) = (None, None);
        match class {
            Class::Female | Class::Male => embryo = Some(embryo::living(&mut build, class)),
            Class::Infertile => build.round_yolk(&RoundYolk {
                off_mm: [0.0, 4.0],
                semi_axes_mm: [14.5, 13.5, 13.5],
                size_sd: 0.04,
            }),
            Class::Dead => death = Some(dead::dead(&mut build)),
        }
        let shakes = build.draw.chance(profile.shake_share);
        let moves = class.is_alive() && build.draw.chance(profile.motion_share);
        let motion = (shakes || moves).then(|| Motion::draw(profile, shakes, &mut build.draw));
        let lines = (profile.acquired_lines < 1.0)
            .then(|| Lines { share: profile.acquired_lines, seed: build.draw.seed() });
        Self {
            class,
            death,
            lines,
            ellipsoids: build.ellipsoids,
            motion,
            egg_centre_mm: build.egg_centre_mm,
            embryo,
        }
    }

    /// What the egg holds.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What it is made of.
    pub fn ellipsoids(&self) -> &[Ellipsoid] {
        &self.ellipsoids
    }
}
