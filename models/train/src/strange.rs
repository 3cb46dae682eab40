//! "I do not know this kind of image": how far an input is from the training images, in three views of it.

use tch::{Kind, Tensor};

/// This share of held-out eggs has a strangeness below 1.
pub(crate) const QUANTILE: f64 = 0.997;
/// Added to the variances, as a share of their mean: directions in which training images hardly vary must not count
/// without bound.
const RIDGE: f64 = 1e-3;

/// Three views of one input: coarse means of the image, and the features of both stages of the net.
pub(crate) type Views = [Tensor; 3];

/// What the training images look like.
#[derive(Debug)]
pub(crate) struct Strangeness {
    views: [View; 3],
}

/// A normal distribution of one view.
#[derive(Debug)]
struct View {
    mean: Tensor,
    /// Takes a deviation to units in which its square length is 1 at the quantile.
    whiten: Tensor,
}

impl Strangeness {
    /// Means and covariances from `training`; the scale, which overfits most easily, from `held_out` eggs.
    pub(crate) fn fit(training: &Views, held_out: &Views) -> Self {
        let _no_grad = tch::no_grad_guard();
        let views = std::array::from_fn(|i| View::fit(&training[i]));
        let mut strangeness = Self { views };
        for (view, held_out) in strangeness.views.iter_mut().zip(held_out) {
            view.scale_down(quantile(&view.distance(held_out)));
        }
        // Each view alone flags its share; together they must flag no more.
        let together = quantile(&strangeness.of(held_out));
        for view in &mut strangeness.views {
            view.scale_down(together);
        }
        strangeness
    }

    /// The largest of the three distances, `[N]`.
    pub(crate) fn of(&self, views: &Views) -> Tensor {
        let [a, b, c] = std::array::from_fn(|i| self.views[i].distance(&views[i]));
        a.maximum(&b).maximum(&c)
    }
}

impl View {
    fn fit(samples: &Tensor) -> Self {
        let mean = samples.mean_dim([0_i64].as_slice(), false, Kind::Float);
        let size = samples.size()[1];
        let covariance =
            samples.to_kind(Kind::Double).tr().cov(1, None::<&Tensor>, None::<&Tensor>).reshape([size, size]);
        let ridge = Tensor::eye(size, (Kind::Double, covariance.device()))
            * covariance.trace()
            * (RIDGE / size as f64);
        let (values, vectors) = (covariance + ridge).linalg_eigh("L");
        Self { mean, whiten: (vectors / values.sqrt()).to_kind(Kind::Float) }
    }

    fn scale_down(&mut self, distance: f64) {
        self.whiten = &self.whiten / distance.sqrt();
    }

    /// Squared, `[N]`.
    fn distance(&self, samples: &Tensor) -> Tensor {
        let away = (samples - &self.mean).matmul(&self.whiten);
        away.square().sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
    }
}

fn quantile(distances: &Tensor) -> f64 {
    distances.quantile_scalar(QUANTILE, None::<i64>, false, "linear").double_value(&[])
}

/// Coarse means of the pooled input, `[N, 16, 16, 16]` to `[N, 256]`: 4 x 8 x 8 boxes.
pub(crate) fn image_means(pooled: &Tensor) -> Tensor {
    let pairs = |x: &Tensor, axis: i64| x.slice(axis, 0, None, 2) + x.slice(axis, 1, None, 2);
    let in_plane = pairs(&pairs(pooled, 2), 3) * 0.25;
    let fours = in_plane.reshape([-1, 4, 4, 8, 8]).mean_dim([2_i64].as_slice(), false, Kind::Float);
    fours.flatten(1, -1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn normal(rows: i64) -> Views {
        [3, 5, 7].map(|columns| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu)))
    }

    #[test]
    fn three_in_a_thousand_of_the_same_kind_are_strange_and_all_of_another_kind() {
        tch::manual_seed(1);
        let strangeness = Strangeness::fit(&normal(4000), &normal(4000));
        let share = |views: &Views| {
            strangeness.of(views).gt(1.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
        };
        let same = share(&normal(20_000));
        assert!((0.0005..0.01).contains(&same), "{same}");
        for odd in 0..3 {
            let mut views = normal(100);
            views[odd] += 10.0;
            assert!(share(&views) > 0.99, "view {odd}");
        }
    }
}
