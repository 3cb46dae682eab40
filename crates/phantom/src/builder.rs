//! An egg under construction: its frame, its yolk, and the tissue that is added to it. Signals are relative to a
//! proton-density and T1 weighted gradient echo: fluid 0.55, trunk 0.45, yolk brighter (short T1), air 0.05. All of them
//! are assumptions; see the profile.

use std::f64::consts::PI;

use crate::{
    draw::Draw,
    geometry::{Ellipsoid, IDENTITY, Mat3, Vec3, add, apply, rotation, scale},
    profile::Profile,
};

/// Signal of allantoic fluid and albumen, which fill the egg.
const FLUID: f64 = 0.55;
/// Signal of the yolk above the fluid.
const YOLK: f64 = 0.2;

/// The yolk of an egg whose embryo never grew: a ball in the middle.
pub(crate) struct RoundYolk {
    /// Least and most distance from the long axis, away from the embryo.
    pub(crate) off_mm: [f64; 2],
    pub(crate) semi_axes_mm: Vec3,
    pub(crate) size_sd: f64,
}

/// An egg under construction.
pub(crate) struct Builder<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) draw: Draw,
    pub(crate) ellipsoids: Vec<Ellipsoid>,
    /// Across the long axis, from the middle towards the embryo; the yolk lies on the other side.
    pub(crate) towards_embryo: Vec3,
    pub(crate) egg_centre_mm: Vec3,
    egg_rotation: Mat3,
    egg_size: f64,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(profile: &'a Profile, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let egg_size = draw.factor(profile.egg_size_sd);
        let egg_rotation =
            rotation(draw.within(profile.egg_turn_rad[0]), draw.within(profile.egg_turn_rad[1]), 0.0);
        let egg_centre_mm = profile.egg_offset_mm.map(|limit| draw.within(limit));
        let (sin, cos) = draw.within(PI).sin_cos();
        let towards_embryo = [0.0, cos, sin];
        Self { profile, draw, ellipsoids: Vec::new(), towards_embryo, egg_centre_mm, egg_rotation, egg_size }
    }

    /// Adds tissue: its signal varies from egg to egg.
    pub(crate) fn add(
        &mut self,
        centre_mm: Vec3,
        semi_axes_mm: Vec3,
        rotation: Mat3,
        signal: f64,
        moves: bool,
    ) {
        let signal = signal * self.draw.factor(self.profile.tissue_sd);
        self.ellipsoids.push(Ellipsoid { centre_mm, semi_axes_mm, rotation, signal, moves });
    }

    /// A place in the egg's own frame (x towards the sharp end), in millimetres from the isocentre.
    pub(crate) fn in_egg(&self, at: Vec3) -> Vec3 {
        add(self.egg_centre_mm, apply(&self.egg_rotation, scale(at, self.egg_size)))
    }

    /// Along the long axis by `x`, across it by `off` towards the embryo, in the egg's frame.
    pub(crate) fn along_and_across(&self, x: f64, off: f64) -> Vec3 {
        self.in_egg(add([x, 0.0, 0.0], scale(self.towards_embryo, off)))
    }

    pub(crate) fn yolk_signal(&mut self) -> f64 {
        YOLK * self.draw.factor(0.2)
    }

    /// Fluid, air cell at the blunt end, thick albumen at the sharp end.
    pub(crate) fn egg(&mut self) {
        let (size, turned) = (self.egg_size, self.egg_rotation);
        self.add(self.egg_centre_mm, scale(self.profile.egg_mm, size), turned, FLUID, false);
        let air = [self.draw.uniform(2.5, 4.0), 11.0, 11.0];
        self.add(self.in_egg([-22.5, 0.0, 0.0]), scale(air, size), turned, -0.5, false);
        let sharp = [19.0, self.draw.within(2.0), self.draw.within(2.0)];
        self.add(self.in_egg(sharp), scale([6.0, 11.0, 11.0], size), turned, 0.12, false);
    }

    pub(crate) fn round_yolk(&mut self, yolk: &RoundYolk) {
        let signal = self.yolk_signal();
        let x = self.draw.within(4.0);
        let off = -self.draw.uniform(yolk.off_mm[0], yolk.off_mm[1]);
        let size = self.draw.factor(yolk.size_sd);
        let turned = rotation(self.draw.within(3.0), 0.0, 0.0);
        self.add(self.along_and_across(x, off), scale(yolk.semi_axes_mm, size), turned, signal, false);
    }

    /// The yolk of a living egg, on the far side of the embryo.
    pub(crate) fn flat_yolk(&mut self) {
        let signal = self.yolk_signal();
        let (x, off) = (self.draw.uniform(-3.0, 5.0), -self.draw.uniform(9.0, 11.0));
        let size = self.draw.factor(0.05);
        self.add(self.along_and_across(x, off), scale([14.0, 9.0, 9.0], size), IDENTITY, signal, false);
    }
}
