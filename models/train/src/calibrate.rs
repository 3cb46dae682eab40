//! Makes probabilities of logits: one temperature each for the kind of egg and for the sex (Guo et al. 2017), fitted on
//! eggs that the net was not trained on.

use crate::data::{Taking, measuring_batch};
use crate::judge::{Judge, raw};
use crate::net::Net;
use crate::strange::{Strangeness, Views};
use ovomesh_phantom::Library;
use tch::{Kind, Tensor};

/// SNR of the scans that temperatures are fitted on: around what a scanner is expected to reach.
const CALIBRATED_SNR: (f64, f64) = (20.0, 45.0);
/// Scans that go through the net at once.
const BATCH: usize = 64;
/// Temperatures are searched from 1/8 to 8.
const SPAN: f64 = 2.079;

/// Fits all that [`Judge`] has beside the net.
pub(crate) fn calibrate<'a>(
    net: &'a Net,
    train: &Library,
    held_out: &Library,
    snr: (f64, f64),
    seed: u64,
) -> Judge<'a> {
    let _no_grad = tch::no_grad_guard();
    // As many training eggs as held-out ones are enough for a covariance of 256 x 256.
    let known = look(net, train, held_out.len().min(train.len()), &Taking { snr, ..Taking::at(1.0) }, seed);
    let fresh = look(net, held_out, held_out.len(), &Taking { snr, ..Taking::at(1.0) }, seed);
    let strangeness = Strangeness::fit(&known.views, &fresh.views);

    let fresh = look(net, held_out, held_out.len(), &Taking { snr: CALIBRATED_SNR, ..Taking::at(1.0) }, seed);
    let alive = temperature(&fresh.alive, &(&fresh.class - 1).clamp_min(0));
    let living = fresh.class.lt(2).nonzero().reshape([-1]);
    let sex = temperature(&fresh.sex.index_select(0, &living), &fresh.class.index_select(0, &living));
    Judge { net, temperatures: [alive, sex], strangeness }
}

struct Looked {
    alive: Tensor,
    sex: Tensor,
    class: Tensor,
    views: Views,
}

fn look(net: &Net, eggs: &Library, count: usize, taking: &Taking, seed: u64) -> Looked {
    let mut columns: [Vec<Tensor>; 6] = Default::default();
    for first in (0..count).step_by(BATCH) {
        let batch = measuring_batch(eggs, first..(first + BATCH).min(count), taking, seed);
        let raw = raw(net, &batch.input);
        let [a, b, c] = raw.views;
        for (column, tensor) in columns.iter_mut().zip([raw.alive, raw.sex, batch.class, a, b, c]) {
            column.push(tensor);
        }
    }
    let [alive, sex, class, a, b, c] = columns.map(|column| Tensor::cat(&column, 0));
    Looked { alive, sex, class, views: [a, b, c] }
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

    #[test]
    fn logits_that_are_three_times_too_sure_get_the_temperature_three() {
        tch::manual_seed(1);
        let honest = Tensor::randn([20_000, 2], (Kind::Float, Device::Cpu));
        let class = honest.softmax(1, Kind::Float).multinomial(1, false).reshape([-1]);
        let found = temperature(&(honest * 3.0), &class);
        assert!((found - 3.0).abs() < 0.2, "{found}");
    }
}
