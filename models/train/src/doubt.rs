//! A temperature of the sex logits for each image, out of what the head has seen and the noise.

use tch::{Device, Kind, Tensor};

/// Temperatures are searched, and those of images held, from 1/8 to 8.
pub(crate) const SPAN: f64 = 2.079;
/// Steps of gradient descent on the temperatures of images, and their size.
const STEPS: usize = 400;
const RATE: f64 = 0.02;
/// Pull of each weight towards none, against the mean loss.
const DECAY: f64 = 3e-4;

/// The log of what the sex logits of an image are multiplied by is linear in what the head has seen, within bounds: what
/// the held-out eggs hardly ever showed may weigh much, and another image show it.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// `[1, H]`.
    weights: Tensor,
    /// `[1]`.
    offset: Tensor,
}

impl Doubt {
    /// Calibrated logits out of raw ones, `[N, 2]`, and what the head has seen, `[N, H]`. A sum, not a product of
    /// matrices: that of one column rounds differently for different places in a batch.
    pub(crate) fn apply(&self, logits: &Tensor, seen: &Tensor) -> Tensor {
        let log =
            (seen * &self.weights).sum_dim_intlist([1_i64].as_slice(), true, Kind::Float) + &self.offset;
        logits * log.clamp(-SPAN, SPAN).exp()
    }

    /// The weights with the least cross entropy against what is to be said, `[N, 2]`, held small.
    pub(crate) fn fit(logits: &Tensor, seen: &Tensor, wanted: &Tensor) -> Self {
        let size = seen.size()[1];
        let spread = seen.std_dim([0_i64].as_slice(), true, true).clamp_min(1e-3).reshape([size, 1]);
        let middle = seen.mean_dim([0_i64].as_slice(), true, Kind::Float);
        let mut all = Tensor::zeros([size + 1, 1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let [mut mean, mut square] =
            [(); 2].map(|()| Tensor::zeros([size + 1, 1], (Kind::Float, Device::Cpu)));
        for step in 1..=STEPS {
            let weights = all.narrow(0, 0, size) / &spread;
            let log = (seen - &middle).matmul(&weights) + all.narrow(0, size, 1);
            let said = (logits * log.exp()).log_softmax(1, Kind::Float);
            let loss =
                -(wanted * said).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float).mean(Kind::Float)
                    + all.narrow(0, 0, size).square().sum(Kind::Float) * DECAY;
            all.zero_grad();
            loss.backward();
            tch::no_grad(|| {
                // Adam (Kingma and Ba 2015), with a rate that falls to nothing.
                let gradient = all.grad();
                mean = &mean * 0.9 + &gradient * 0.1;
                square = &square * 0.99 + gradient.square() * 0.01;
                let [m, s] = [0.9_f64, 0.99].map(|beta| 1.0 - beta.powi(step as i32));
                let rate = RATE * (1.0 - step as f64 / STEPS as f64);
                let _ = all.g_sub_(&(&mean / m / ((&square / s).sqrt() + 1e-8) * rate));
            });
        }
        let weights = (all.narrow(0, 0, size) / &spread).detach();
        let offset = (all.narrow(0, size, 1).reshape([1, 1]) - middle.matmul(&weights)).reshape([1]).detach();
        Self { weights: weights.tr().contiguous(), offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(honest: &Tensor) -> Tensor {
        honest.softmax(1, Kind::Float).multinomial(1, false).reshape([-1])
    }

    #[test]
    fn a_net_that_is_too_sure_of_noisy_images_alone_is_made_to_doubt_those() {
        tch::manual_seed(1);
        let honest = Tensor::randn([20_000, 2], (Kind::Float, Device::Cpu)) * 2.0;
        let noisy = Tensor::rand([20_000, 1], (Kind::Float, Device::Cpu)).lt(0.5).to_kind(Kind::Float);
        let sure = &honest * (&noisy * 3.0 + 1.0);
        let found =
            Doubt::fit(&sure, &noisy, &drawn(&honest).one_hot(2).to_kind(Kind::Float)).apply(&sure, &noisy);
        let off = (&found - &honest).norm().double_value(&[]) / honest.norm().double_value(&[]);
        assert!(off < 0.1, "{off}");
    }

    #[test]
    fn what_was_hardly_ever_seen_makes_no_image_sure_without_bound() {
        let doubt = Doubt {
            weights: Tensor::from_slice2(&[[12.0_f32]]),
            offset: Tensor::zeros([1], (Kind::Float, Device::Cpu)),
        };
        let logits = Tensor::from_slice2(&[[1.0_f32, -1.0]]);
        for (seen, factor) in [(11.0_f32, 8.0), (-11.0, 0.125)] {
            let found = doubt.apply(&logits, &Tensor::from_slice2(&[[seen]])).double_value(&[0, 0]);
            assert!((found - factor).abs() < 0.01, "{found}");
        }
    }
}
