//! Makes probabilities of logits, on eggs that the net was not trained on. The kind of egg gets one temperature (Guo et
//! al. 2017). The sex gets a temperature for each image, out of what the head has seen and the noise: both leave a net
//! surer than it may be, and one temperature for all would be wrong at either end.

use crate::data::{Taking, measuring_batch};
use crate::doubt::{Doubt, SPAN};
use crate::eggs::Eggs;
use crate::judge::{Judge, raw};
use crate::net::Net;
use crate::strange::{Strangeness, Views};
use tch::{Kind, Tensor};

/// Scans that go through the net at once.
const BATCH: usize = 64;
/// Scans of each held-out egg to calibrate with.
const SCANS: u64 = 2;
/// One in this many batches of held-out eggs is also shown mirrored: as many as make the rare one that is not taken for such
/// count, few enough to leave other eggs' doubt alone.
const MIRRORED: usize = 4;
/// Fits all that [`Judge`] has beside the net.
pub(crate) fn calibrate<'a>(
    net: &'a Net,
    train: &Eggs,
    held_out: &Eggs,
    taking: &Taking,
    seed: u64,
) -> Judge<'a> {
    let (known, fresh, living) = tch::no_grad(|| {
        // Every part of the training eggs, and enough of them for a covariance of 256 x 256.
        let every = (train.len() / held_out.len()).max(1);
        let known = look(net, train, (0..train.len()).step_by(every * BATCH), taking, seed);
        let scans = (0..SCANS).map(|scan| {
            look(net, held_out, (0..held_out.len()).step_by(BATCH), taking, seed.wrapping_add(scan))
        });
        let fresh = scans.reduce(Looked::and).unwrap_or_else(|| unreachable!("there is at least one scan"));
        let living = fresh.class.lt(2).nonzero().reshape([-1]);
        (known, fresh, living)
    });
    let of_living = |tensor: &Tensor| tensor.index_select(0, &living);
    let strangeness = Strangeness::fit(&known.views, &fresh.views, &of_living(&fresh.mirrored));
    let alive = tch::no_grad(|| temperature(&fresh.alive, &(&fresh.class - 1).clamp_min(0)));
    // A mirror image does not show the sex: doubt is to rise with what looks like one.
    let mirror = tch::no_grad(|| {
        let taking = Taking { mirrored: Some(1.0), ..*taking };
        let images = look(net, held_out, (0..held_out.len()).step_by(MIRRORED * BATCH), &taking, seed);
        let living = images.class.lt(2).nonzero().reshape([-1]);
        [images.sex, images.seen].map(|tensor| tensor.index_select(0, &living))
    });
    let wanted = of_living(&fresh.class).one_hot(2).to_kind(Kind::Float);
    let none = mirror[0].zeros_like() + 0.5;
    let both = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
    let doubt = Doubt::fit(
        &both(&of_living(&fresh.sex), &mirror[0]),
        &both(&of_living(&fresh.seen), &mirror[1]),
        &both(&wanted, &none),
    );
    Judge { net, temperature: alive, doubt, strangeness }
}

struct Looked {
    alive: Tensor,
    sex: Tensor,
    seen: Tensor,
    mirrored: Tensor,
    class: Tensor,
    views: Views,
}

impl Looked {
    fn and(self, other: Self) -> Self {
        let both = |a: Tensor, b: Tensor| Tensor::cat(&[a, b], 0);
        let ([a, b, c], [d, e, f]) = (self.views, other.views);
        Self {
            alive: both(self.alive, other.alive),
            sex: both(self.sex, other.sex),
            seen: both(self.seen, other.seen),
            mirrored: both(self.mirrored, other.mirrored),
            class: both(self.class, other.class),
            views: [both(a, d), both(b, e), both(c, f)],
        }
    }
}

/// Looks at the batches that begin at `firsts`.
fn look(net: &Net, eggs: &Eggs, firsts: impl Iterator<Item = usize>, taking: &Taking, seed: u64) -> Looked {
    let mut columns: [Vec<Tensor>; 8] = Default::default();
    for first in firsts {
        let batch = measuring_batch(eggs, first..(first + BATCH).min(eggs.len()), taking, seed);
        let raw = raw(net, &batch.input);
        let [a, b, c] = raw.views;
        let all = [raw.alive, raw.sex, raw.seen, raw.mirrored, batch.class, a, b, c];
        for (column, tensor) in columns.iter_mut().zip(all) {
            column.push(tensor);
        }
    }
    let [alive, sex, seen, mirrored, class, a, b, c] = columns.map(|column| Tensor::cat(&column, 0));
    Looked { alive, sex, seen, mirrored, class, views: [a, b, c] }
}

/// The temperature with the least cross entropy, by golden-section search: the loss has one minimum.
fn temperature(logits: &Tensor, class: &Tensor) -> f64 {
    let loss = |log: f64| {
        (logits / log.exp()).to_kind(Kind::Double).cross_entropy_for_logits(class).double_value(&[])
    };
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-SPAN, SPAN);
    while high - low > 1e-3 {
        let step = golden * (high - low);
        let (left, right) = (high - step, low + step);
        if loss(left) < loss(right) { high = right } else { low = left }
    }
    f64::midpoint(low, high).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn drawn(honest: &Tensor) -> Tensor {
        honest.softmax(1, Kind::Float).multinomial(1, false).reshape([-1])
    }

    #[test]
    fn logits_that_are_three_times_too_sure_get_the_temperature_three() {
        tch::manual_seed(1);
        let honest = Tensor::randn([20_000, 2], (Kind::Float, Device::Cpu));
        let found = temperature(&(&honest * 3.0), &drawn(&honest));
        assert!((found - 3.0).abs() < 0.2, "{found}");
    }
}
