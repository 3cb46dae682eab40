//! What the net is trained for. Beside the class itself: how the embryo lies, where its gonads are and how they differ,
//! without which the net does not find them in the time at hand.

use crate::data::Batch;
use crate::frame::Frame;
use crate::input::SPACING_MM;
use crate::net::{CENTRE_SCALE, Net, Said, flat, volume_cells};
use tch::{Device, Kind, Reduction, Tensor};

/// Weight of each part. A cross entropy of classes has 1.
mod weight {
    pub(super) const CENTRE: f64 = 5.0;
    pub(super) const DIRECTIONS: f64 = 3.0;
    pub(super) const MOVE: f64 = 1.0;
    pub(super) const TURN: f64 = 5.0;
    pub(super) const ASYMMETRY: f64 = 2.0;
    pub(super) const GONADS: f64 = 0.5;
    pub(super) const VOLUMES: f64 = 5.0;
    pub(super) const MIRRORED: f64 = 2.0;
}
/// Where errors turn from squared to absolute: of the rough centre in its own scale, of millimetres, of axes.
const BETA: [f64; 3] = [0.1, 0.3, 0.1];
/// Refining is also trained from a true frame that is off by this: millimetres an axis, and radians an axis at least and
/// at most.
const ROUGH: (f64, f64, f64) = (1.5, 0.1, 0.5);
/// Sexing is first trained from a true frame that is off by this: millimetres and radians an axis.
const FINE: (f64, f64) = (0.3, 0.06);
/// Width of the bump that stands for a gonad, in millimetres.
const VOLUME_MM: f64 = 1.3;
/// Share of images for which refining starts from what locating found, once that is of use.
const OWN_ROUGH: f64 = 0.6;
/// Share of images for which sexing looks where refining says, once that is of use.
const OWN_FINE: f64 = 0.85;

/// The loss of one batch, and how good the net was.
pub(crate) struct Loss {
    /// To minimise.
    pub(crate) total: Tensor,
    /// Share of the living whose sex was right, 0 to 1.
    pub(crate) right: f64,
    /// Mean error of the rough axes, the fine axes (1 is about 0.7 radians), and the fine centre in millimetres; 0 when
    /// they do not learn.
    pub(crate) off: [f64; 3],
}

/// What learns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All stages, later ones from true frames: found ones are of no use yet.
    Early,
    /// All stages, mostly from what the stages before have found.
    All,
    /// Sexing and the head alone, from what the others have found: those are good enough by now (with true frames
    /// instead the sex was right in 99.15 instead of 99.11 % of still eggs), and half of the work.
    Sex,
}

/// Runs the net in training and compares.
pub(crate) fn loss(net: &Net, batch: &Batch, phase: Phase) -> Loss {
    let living = batch.class.lt(2);
    let alive = Mask::new(&living);
    let input = flat(&batch.input);
    let centre = batch.gonads.mean_dim([1_i64].as_slice(), false, Kind::Float);
    let truth = Frame { centre, axes: batch.axes.shallow_clone() };
    let found = if phase == Phase::Sex {
        tch::no_grad(|| {
            let located = net.locate(&input, false);
            let refined = net.refine(&input, &located.frame, false);
            Found {
                fine: refined.frame.cut(true),
                features: [located.features, refined.features],
                loss: None,
                off: [0.0; 3],
            }
        })
    } else {
        find(net, batch, &input, &truth, &alive, phase)
    };
    let said = net.say(&input, &found.fine, [&found.features[0], &found.features[1]], true);
    let (decided, right) = decided_loss(batch, &found.fine, &said, &living);
    let total = found.loss.map_or_else(|| decided.shallow_clone(), |loss| loss + &decided);
    Loss { total, right, off: found.off }
}

/// What the first two stages have found.
struct Found {
    fine: Frame,
    features: [Tensor; 2],
    /// Nothing when they do not learn.
    loss: Option<Tensor>,
    /// See [`Loss`].
    off: [f64; 3],
}

/// Lets the first two stages look, and compares their frames with the true one.
fn find(net: &Net, batch: &Batch, input: &Tensor, truth: &Frame, alive: &Mask, phase: Phase) -> Found {
    let own = |share: f64| if phase == Phase::Early { 0.0 } else { share };
    let located = net.locate(input, true);
    let scale = Tensor::from_slice(&CENTRE_SCALE);
    let centre_off = smooth(&(&located.frame.centre / &scale), &(&truth.centre / &scale), BETA[0]);
    let directions = Tensor::cat(&[truth.axes.select(2, 0), truth.axes.select(2, 2)], 1);
    let directions_off = mean(&(&located.directions - directions).square());

    let count = batch.class.size()[0];
    let angle = Tensor::rand([count, 1], (Kind::Float, Device::Cpu)) * (ROUGH.2 - ROUGH.1) + ROUGH.1;
    let rough = located.frame.or(&chance(batch, own(OWN_ROUGH)), &misplaced(truth, ROUGH.0, &angle));
    let refined = net.refine(input, &rough, true);
    // What the true frame is, seen from the rough one.
    let wanted_mm = rough.inside(&truth.centre.unsqueeze(1)).squeeze_dim(1).detach();
    let wanted_turn =
        rough.axes.transpose(1, 2).matmul(&truth.axes) - Tensor::eye(3, (Kind::Float, Device::Cpu));
    let move_off = smooth(&refined.by_mm, &wanted_mm, BETA[1]);
    let turn_off = smooth(&refined.turn, &wanted_turn.flatten(1, -1).detach(), BETA[2]);
    let loss = weight::CENTRE * alive.mean(&centre_off)
        + weight::DIRECTIONS * alive.mean(&directions_off)
        + weight::MOVE * alive.mean(&move_off)
        + weight::TURN * alive.mean(&turn_off);

    let norm = |x: Tensor, over: &[i64]| x.square().sum_dim_intlist(over, false, Kind::Float).sqrt();
    let turned = |axes: &Tensor| norm(axes - &truth.axes, &[1, 2]);
    let away = norm(wanted_mm - &refined.by_mm, &[1]);
    let off = [turned(&located.frame.axes), turned(&refined.frame.axes), away];
    let angle = Tensor::full([count, 1], FINE.1, (Kind::Float, Device::Cpu));
    let fine = refined.frame.or(&chance(batch, own(OWN_FINE)), &misplaced(truth, FINE.0, &angle)).cut(true);
    Found {
        fine,
        features: [located.features, refined.features],
        loss: Some(loss),
        off: off.map(|off| alive.mean(&off).double_value(&[])),
    }
}

/// How wrong the head is, and the share of the living whose sex it got right.
fn decided_loss(batch: &Batch, fine: &Frame, said: &Said, living: &Tensor) -> (Tensor, f64) {
    let alive = Mask::new(living);
    let true_to_life = Mask::new(&living.logical_and(&batch.mirrored.logical_not()));
    let kind_of_egg = (&batch.class - 1).clamp_min(0);
    let sex = batch.class.clamp_max(1);
    let mirrored = batch.mirrored.to_kind(Kind::Float);
    let wanted = fine.inside(&batch.gonads).flatten(1, -1);
    let gonads_off = smooth(&said.gonads.flatten(1, -1), &wanted, BETA[1]);
    let none = None::<&Tensor>;
    let mirrored_off = said.mirrored.binary_cross_entropy_with_logits(&mirrored, none, none, Reduction::None);
    let loss = said.alive.cross_entropy_for_logits(&kind_of_egg)
        + weight::GONADS * alive.mean(&gonads_off)
        + weight::MIRRORED * alive.mean(&mirrored_off)
        + alive.mean(&sex_loss(&said.sex, &sex, &mirrored))
        + weight::VOLUMES * true_to_life.mean(&volumes_loss(batch, fine, said))
        + weight::ASYMMETRY * true_to_life.mean(&(&said.asymmetry - &batch.asymmetry).square());
    let right = said.sex.argmax(1, false).eq_tensor(&sex).to_kind(Kind::Float);
    (loss, true_to_life.mean(&right).double_value(&[]))
}

/// How far the map of the gonads is from bumps as large as the gonads are, 1 in all for a male's.
fn volumes_loss(batch: &Batch, fine: &Frame, said: &Said) -> Tensor {
    let places = fine.inside(&batch.gonads);
    let bump = |axis: i64| {
        let away = places.select(2, axis).unsqueeze(-1) - volume_cells();
        (away.square() * (-0.5 / (VOLUME_MM * VOLUME_MM))).exp()
    };
    // [N, 2, x, y] to [N, x, y, 2].
    let bumps = (bump(0).unsqueeze(-1) * bump(1).unsqueeze(-2)).permute([0, 2, 3, 1]);
    let share = Tensor::stack(&[&batch.asymmetry + 1.0, -&batch.asymmetry + 1.0], 1);
    let wanted = bumps * share.reshape([-1, 1, 1, 2]);
    let Some(found) = &said.volumes else { return batch.asymmetry.zeros_like() };
    mean(&(found - wanted).square().flatten(1, -1))
}

/// A mirrored image shows no sex: the scores of it have to be unsure.
fn sex_loss(logits: &Tensor, sex: &Tensor, mirrored: &Tensor) -> Tensor {
    let wanted =
        sex.one_hot(2).to_kind(Kind::Float).lerp_tensor(&Tensor::from(0.5_f32), &mirrored.unsqueeze(1));
    -(wanted * logits.log_softmax(1, Kind::Float)).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
}

/// Chosen with this probability, bool `[N]`.
fn chance(batch: &Batch, share: f64) -> Tensor {
    Tensor::rand([batch.class.size()[0]], (Kind::Float, Device::Cpu)).lt(share)
}

/// A frame off by normal errors: millimetres along each axis, radians about each (`[N, 1]`).
fn misplaced(truth: &Frame, mm: f64, radians: &Tensor) -> Frame {
    let count = truth.centre.size()[0];
    let normal = || Tensor::randn([count, 3], (Kind::Float, Device::Cpu));
    let spacing = Tensor::from_slice(&SPACING_MM.map(|spacing| (mm / spacing) as f32));
    Frame {
        centre: &truth.centre + normal() * spacing,
        axes: truth.axes.matmul(&turned(&(normal() * radians))),
    }
}

/// Rotation matrices about vectors of radians, `[N, 3]` (Rodrigues).
fn turned(vectors: &Tensor) -> Tensor {
    let angle = (vectors.square().sum_dim_intlist([1_i64].as_slice(), true, Kind::Float) + 1e-12).sqrt();
    let axis = vectors / &angle;
    let [x, y, z] = [0, 1, 2].map(|i| axis.select(1, i));
    let o = x.zeros_like();
    let rows = [&o, &-&z, &y, &z, &o, &-&x, &-&y, &x, &o].map(Tensor::shallow_clone);
    let cross = Tensor::stack(&rows, 1).reshape([-1, 3, 3]);
    let angle = angle.unsqueeze(2);
    Tensor::eye(3, (Kind::Float, Device::Cpu))
        + angle.sin() * &cross
        + (-angle.cos() + 1.0) * cross.matmul(&cross)
}

fn smooth(found: &Tensor, wanted: &Tensor, beta: f64) -> Tensor {
    mean(&found.smooth_l1_loss(wanted, Reduction::None, beta))
}

/// Over all but the batch.
fn mean(x: &Tensor) -> Tensor {
    x.mean_dim([1_i64].as_slice(), false, Kind::Float)
}

/// Means over some images only.
struct Mask {
    weights: Tensor,
}

impl Mask {
    fn new(chosen: &Tensor) -> Self {
        let chosen = chosen.to_kind(Kind::Float);
        let count = chosen.sum(Kind::Float).clamp_min(1.0);
        Self { weights: chosen / count }
    }

    fn mean(&self, each: &Tensor) -> Tensor {
        (each * &self.weights).sum(Kind::Float)
    }
}
