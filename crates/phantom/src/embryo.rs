//! An embryo of about day 12 (Hamburger-Hamilton stage 38), about 5 g, living or as death leaves it.
//!
//! Its frame: x towards the head, y towards its right, z towards its belly: right-handed, as the image is
//! (head, left and *back* are right-handed in every bird). Females and males differ in nothing but how one
//! and the same gonad volume is shared between left and right (Smith and Sinclair 2004).

use crate::{
    builder::Builder,
    class::Class,
    geometry::{Ellipsoid, IDENTITY, Mat3, Vec3, add, apply, product, rotation, scale},
};

/// What is known of a living embryo, in millimetres from the isocentre.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Embryo {
    pub(crate) centre_mm: Vec3,
    pub(crate) rotation: Mat3,
    pub(crate) size: f64,
    pub(crate) asymmetry: f64,
    /// Left, right.
    pub(crate) gonads_mm: [Vec3; 2],
}

/// The largest asymmetry: more would leave nothing of the right gonad.
const MAX_ASYMMETRY: f64 = 0.97;

/// The sign of y on the embryo's left. With +1 it would be a bird's mirror image, whose left gonad lies where
/// a bird's right one does.
const LEFT: f64 = -1.0;

/// Both sides, as the sign of y: left, right.
const SIDES: [f64; 2] = [LEFT, -LEFT];

/// A part of the body that varies only in its signal.
struct Organ {
    /// Towards the head, the left and the belly.
    at_mm: Vec3,
    semi_axes_mm: Vec3,
    /// Signal above what it lies in.
    signal: f64,
}

const fn organ(at_mm: Vec3, semi_axes_mm: Vec3, signal: f64) -> Organ {
    Organ { at_mm, semi_axes_mm, signal }
}

/// Trunk (fluid 0.55 + amnion 0.2 - 0.3 = 0.45) and head.
const OUTLINE: [Organ; 2] =
    [organ([-2.0, 0.0, 0.0], [11.0, 6.0, 6.0], -0.3), organ([11.5, 0.0, 3.5], [6.0, 5.6, 5.8], -0.25)];

/// Brain ventricle, spine, spinal cord, liver with its larger right lobe, gizzard on the left.
const ORGANS: [Organ; 5] = [
    organ([10.0, 0.0, -0.5], [3.0, 2.5, 2.0], 0.1),
    organ([-2.0, 0.0, -4.6], [10.5, 1.1, 1.1], -0.2),
    organ([-2.0, 0.0, -4.8], [10.0, 0.5, 0.5], 0.3),
    organ([0.5, -1.2, 2.8], [3.2, 3.6, 2.2], -0.12),
    organ([-3.2, 2.4, 2.8], [2.4, 1.8, 1.8], 0.1),
];

/// Eye and lens of the left side; the right one mirrors it.
const EYE: [Organ; 2] =
    [organ([13.0, 4.0, 4.5], [3.2, 2.6, 3.2], 0.25), organ([13.0, 5.4, 4.5], [1.1, 0.8, 1.1], -0.4)];

/// What a body is like, against a healthy one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct State {
    /// Factor on lengths.
    pub(crate) size: f64,
    /// Factor on the contrast of all that lies in the trunk and the head.
    pub(crate) organs: f64,
    /// Factor on the contrast of trunk, head, limbs and amniotic fluid.
    pub(crate) body: f64,
    /// Factor on the contrast of moving blood: the heart's.
    pub(crate) blood: f64,
}

impl State {
    pub(crate) const ALIVE: Self = Self { size: 1.0, organs: 1.0, body: 1.0, blood: 1.0 };
}

/// Adds a living embryo with its yolk.
pub(crate) fn living(build: &mut Builder<'_>, class: Class) -> Embryo {
    build.flat_yolk();
    embryo(build, class, &State::ALIVE)
}

/// Adds an embryo, living or dead, of the sex of `class`.
pub(crate) fn embryo(build: &mut Builder<'_>, class: Class, state: &State) -> Embryo {
    let size = state.size * build.draw.factor(build.profile.embryo_size_sd);
    let (yaw, tilt, roll) = (build.profile.yaw_rad, build.profile.tilt_rad, build.profile.roll_rad);
    let turned = rotation(build.draw.within(yaw), build.draw.within(tilt), build.draw.within(roll));
    let (x, off) = (build.draw.uniform(-4.0, 3.0), build.draw.uniform(3.0, 6.0));
    let frame = Frame { centre_mm: build.along_and_across(x, off), rotation: turned, size, state: *state };
    let amnion = frame.place([3.0, 0.0, 2.0]);
    build.add(amnion, scale([17.0, 11.0, 10.5], size), turned, 0.2 * state.body, false); // amniotic fluid
    body(build, &frame);
    limbs(build, &frame);
    distractors(build, &frame);
    let (asymmetry, gonads_mm) = gonads(build, &frame, class);
    Embryo { centre_mm: frame.centre_mm, rotation: turned, size, asymmetry, gonads_mm }
}

/// Where the embryo is, and its state.
struct Frame {
    centre_mm: Vec3,
    rotation: Mat3,
    size: f64,
    state: State,
}

impl Frame {
    /// A place of the embryo's frame, in millimetres from the isocentre.
    fn place(&self, at: Vec3) -> Vec3 {
        add(self.centre_mm, apply(&self.rotation, scale(at, self.size)))
    }

    fn add(&self, build: &mut Builder<'_>, at: Vec3, semi_axes: Vec3, signal: f64, turned: &Mat3) {
        build.add(self.place(at), scale(semi_axes, self.size), product(&self.rotation, turned), signal, true);
    }

    fn add_organ(&self, build: &mut Builder<'_>, organ: &Organ, side: f64, contrast: f64) {
        let [x, y, z] = organ.at_mm;
        self.add(build, [x, side * y, z], organ.semi_axes_mm, organ.signal * contrast, &IDENTITY);
    }
}

fn body(build: &mut Builder<'_>, frame: &Frame) {
    let State { organs, body, blood, .. } = frame.state;
    for organ in &OUTLINE {
        frame.add_organ(build, organ, LEFT, body);
    }
    for organ in &ORGANS {
        frame.add_organ(build, organ, LEFT, organs);
    }
    for side in SIDES {
        for organ in &EYE {
            frame.add_organ(build, organ, side, organs);
        }
    }
    let heart = [4.5, build.draw.normal(0.3), 2.5];
    frame.add(build, heart, [2.3, 2.1, 2.3], -0.22 * blood, &IDENTITY);
    for side in SIDES {
        let mesonephros = [-3.5, side * 2.7 + build.draw.normal(0.1), -2.4];
        frame.add(build, mesonephros, [4.2, 1.2, 1.2], -0.1 * organs, &IDENTITY);
        let adrenal = [0.2 + build.draw.normal(0.2), side * 1.6, -1.8];
        frame.add(build, adrenal, [0.8, 0.7, 0.7], 0.15 * organs, &IDENTITY);
    }
}

fn limbs(build: &mut Builder<'_>, frame: &Frame) {
    let signal = -0.25 * frame.state.body;
    for side in SIDES {
        let at = [4.0 + build.draw.normal(0.7), side * 6.6, 1.5 + build.draw.normal(1.0)];
        let turned = rotation(build.draw.within(0.5), build.draw.within(0.5), 0.0);
        frame.add(build, at, [4.5, 1.1, 1.3], signal, &turned); // wing
        let at = [-6.0 + build.draw.normal(0.7), side * 6.3, 2.0 + build.draw.normal(1.0)];
        let turned = rotation(build.draw.within(0.5), build.draw.uniform(-0.8, 0.1), 0.0);
        frame.add(build, at, [5.5, 1.6, 1.6], signal, &turned); // leg
    }
}

/// Gut loops and fat: what a model must not take for a gonad.
fn distractors(build: &mut Builder<'_>, frame: &Frame) {
    for _ in 0..build.profile.distractors {
        let size = build.draw.normal(0.3).exp();
        let at = [build.draw.uniform(-9.0, 1.0), build.draw.within(3.2), build.draw.uniform(1.0, 4.2)];
        let signal = frame.state.organs * build.profile.gonad_contrast * build.draw.uniform(0.5, 1.1);
        let turned = rotation(build.draw.within(3.0), build.draw.within(1.0), 0.0);
        frame.add(build, at, scale([1.5, 0.9, 0.9], size), signal, &turned);
    }
}

/// Adds left and right gonad; returns the asymmetry and their centres.
fn gonads(build: &mut Builder<'_>, frame: &Frame, class: Class) -> (f64, [Vec3; 2]) {
    let profile = build.profile;
    let draw = &mut build.draw;
    let total = draw.normal(profile.gonad_size_sd).exp();
    let spread = if class == Class::Female { profile.asymmetry_female } else { profile.asymmetry_male };
    let asymmetry = (spread.mean + draw.normal(spread.sd)).clamp(-MAX_ASYMMETRY, MAX_ASYMMETRY);
    let signal = frame.state.organs * profile.gonad_contrast * draw.factor(profile.gonad_contrast_sd);
    let centres = SIDES.map(|side| {
        let draw = &mut build.draw;
        let factor = (total * (1.0 + side * LEFT * asymmetry)).cbrt() * frame.size;
        let at = [-1.6 + draw.normal(0.25), side * (1.9 + draw.normal(0.12)), -0.9 + draw.normal(0.2)];
        let turned =
            product(&frame.rotation, &rotation(side * 0.15 + draw.normal(0.1), draw.normal(0.1), 0.0));
        let centre_mm = frame.place(at);
        let semi_axes_mm = scale(profile.gonad_mm, factor);
        build.ellipsoids.push(Ellipsoid { centre_mm, semi_axes_mm, rotation: turned, signal, moves: true });
        centre_mm
    });
    (asymmetry, centres)
}
