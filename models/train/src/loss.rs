//! What the net is trained for. Beside the class itself: where the gonads are and how they differ, without which the net
//! does not find them in the time at hand (measured before: without the maps it had learnt nothing after 29,000 scans).

use crate::data::{Batch, SPACING_MM};
use crate::net::{ATTENTION, Net, Sexed};
use tch::{Kind, Reduction, Tensor};

/// Weight of each part. A cross entropy of classes has 1.
mod weight {
    pub(super) const HEAT: f64 = 0.5;
    pub(super) const CENTRE: f64 = 10.0;
    pub(super) const ASYMMETRY: f64 = 2.0;
    pub(super) const ATTENTION: f64 = 0.5;
}
/// Width of the bump that the heat map should show around the midpoint, in millimetres.
const HEAT_MM: f64 = 3.0;
/// Width of the bump that the attention maps should show around a gonad, in samples.
const ATTENTION_SAMPLES: f64 = 1.2;
/// Where the error of the centre turns from squared to absolute, as a share of the scales below.
const CENTRE_BETA: f64 = 0.05;
/// The error of the centre is counted in these samples along z, y, x.
const CENTRE_SCALE: [f32; 3] = [4.0, 12.0, 12.0];
/// How the window is misplaced in training: standard deviation in samples along y and x, first and later.
const JITTER: [f64; 2] = [1.5, 0.5];
/// Samples along z are this much longer.
const JITTER_Z: f32 = 0.36;

/// The loss of one batch, and how often the sex of the living was right.
pub(crate) struct Loss {
    /// To minimise.
    pub(crate) total: Tensor,
    /// Share, 0 to 1.
    pub(crate) right: f64,
}

/// Runs the net in training and compares. While `early`, the window is placed at the truth, later where the net says.
pub(crate) fn loss(net: &Net, batch: &Batch, early: bool) -> Loss {
    let alive = Mask::new(&batch.class.lt(2));
    let centre = batch.gonads.mean_dim([1_i64].as_slice(), false, Kind::Float);
    let located = net.locate(&batch.input, true);

    let jitter = Tensor::from_slice(&[JITTER_Z, 1.0, 1.0]) * JITTER[usize::from(!early)];
    let seen = if early { centre.shallow_clone() } else { located.centre.detach() };
    let seen = &seen + seen.randn_like() * jitter;
    let sexed = net.sex(&batch.input, &seen, true);

    let kind_of_egg = (&batch.class - 1).clamp_min(0);
    let scale = Tensor::from_slice(&CENTRE_SCALE);
    let off = (&located.centre / &scale).smooth_l1_loss(&(&centre / &scale), Reduction::None, CENTRE_BETA);
    let sex = batch.class.clamp_max(1);
    let total = located.alive.cross_entropy_for_logits(&kind_of_egg)
        + weight::HEAT * alive.mean(&cross_entropy(&heat_target(net, &centre), &located.heat))
        + weight::CENTRE * alive.mean(&off.mean_dim([1_i64].as_slice(), false, Kind::Float))
        + alive.mean(&sex_loss(&sexed, &sex))
        + weight::ASYMMETRY * alive.mean(&(&sexed.asymmetry - &batch.asymmetry).square())
        + weight::ATTENTION * alive.mean(&attention_loss(net, batch, &sexed, &seen));
    let right =
        alive.mean(&sexed.sex.argmax(1, false).eq_tensor(&sex).to_kind(Kind::Float)).double_value(&[]);
    Loss { total, right }
}

fn sex_loss(sexed: &Sexed, sex: &Tensor) -> Tensor {
    sexed.sex.cross_entropy_loss(sex, None::<&Tensor>, Reduction::None, -100, 0.0)
}

/// A bump around the midpoint over the cells of the heat map.
fn heat_target(net: &Net, centre: &Tensor) -> Tensor {
    let spacing = Tensor::from_slice(&SPACING_MM.map(|mm| (mm / HEAT_MM) as f32));
    let away = (net.cells().unsqueeze(0) - centre.unsqueeze(1)) * spacing;
    (away.square().sum_dim_intlist([2_i64].as_slice(), false, Kind::Float) * -0.5).softmax(1, Kind::Float)
}

/// How far the two maps are from bumps around the two gonads, mean of both.
fn attention_loss(net: &Net, batch: &Batch, sexed: &Sexed, seen: &Tensor) -> Tensor {
    // In samples of the window, then compared with the middles of the maps' cells: every second sample.
    let inside = &batch.gonads - net.window_start(seen).unsqueeze(1);
    let cells = Tensor::arange(ATTENTION, (Kind::Float, inside.device())) * 2.0;
    let bump = |axis: i64| {
        let away = inside.select(2, axis).unsqueeze(-1) - &cells;
        (away.square() * (-0.5 / (ATTENTION_SAMPLES * ATTENTION_SAMPLES))).exp()
    };
    let target = (bump(1).unsqueeze(-1) * bump(2).unsqueeze(-2)).flatten(2, -1);
    let target = &target / target.sum_dim_intlist([2_i64].as_slice(), true, Kind::Float).clamp_min(1e-6);
    cross_entropy(&target, &sexed.attention).mean_dim([1_i64].as_slice(), false, Kind::Float)
}

/// Over the last dimension: of the target distribution and the logits.
fn cross_entropy(target: &Tensor, logits: &Tensor) -> Tensor {
    -(target * logits.log_softmax(-1, Kind::Float)).sum_dim_intlist([-1_i64].as_slice(), false, Kind::Float)
}

/// Means over the living only.
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
