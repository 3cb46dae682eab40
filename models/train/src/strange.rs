//! "I do not know this kind of image": how far an input is from the training images, in three views of it, and whether it
//! is the mirror image of one.

use tch::{Kind, Tensor};

/// This share of held-out eggs has a strangeness below 1.
pub(crate) const QUANTILE: f64 = 0.997;
/// This share of held-out living eggs is not taken for mirrored.
const MIRROR_QUANTILE: f64 = 0.995;
/// Added to the variances, as a share of their mean: directions in which training images hardly vary must not count
/// without bound.
const RIDGE: f64 = 1e-3;

/// Three views of one input: coarse means of the image, and what the first and the last stage of the net have seen.
pub(crate) type Views = [Tensor; 3];

/// What the training images look like: a normal distribution of each view.
#[derive(Debug)]
pub(crate) struct Strangeness {
    /// Takes all views, side by side, to units in which the squares of each view sum to 1 at the quantile.
    whiten: Tensor,
    /// What the means of the views become so, taken away.
    offset: Tensor,
    /// Sums the squares of each view, `[D, 3]`.
    sums: Tensor,
    /// Logit from which on an image counts as mirrored.
    mirror: f64,
}

impl Strangeness {
    /// Means and covariances from `training`; the scale, which overfits most easily, from `held_out` eggs, as the logits
    /// of being mirrored of the living ones.
    pub(crate) fn fit(training: &Views, held_out: &Views, mirrored: &Tensor) -> Self {
        let _no_grad = tch::no_grad_guard();
        let mut views: Vec<View> = training.iter().map(View::fit).collect();
        for (view, held_out) in views.iter_mut().zip(held_out) {
            view.scale_down(quantile(&view.distance(held_out), QUANTILE));
        }
        let mirror = quantile(mirrored, MIRROR_QUANTILE);
        // Each view alone flags its share; together they must flag no more.
        let together = quantile(&Self::join(&views, mirror).distance(held_out), QUANTILE);
        for view in &mut views {
            view.scale_down(together);
        }
        Self::join(&views, mirror)
    }

    fn join(views: &[View], mirror: f64) -> Self {
        let whiten: Vec<&Tensor> = views.iter().map(|view| &view.whiten).collect();
        let offsets: Vec<Tensor> =
            views.iter().map(|view| -view.mean.unsqueeze(0).matmul(&view.whiten)).collect();
        let ones: Vec<Tensor> = views.iter().map(|view| view.mean.ones_like().unsqueeze(1)).collect();
        Self {
            whiten: Tensor::block_diag(&whiten),
            offset: Tensor::cat(&offsets, 1),
            sums: Tensor::block_diag(&ones),
            mirror,
        }
    }

    /// The largest of the three distances, `[N]`.
    fn distance(&self, views: &Views) -> Tensor {
        let away = self.offset.addmm(&Tensor::cat(views, 1), &self.whiten);
        away.square().matmul(&self.sums).amax([1_i64], false)
    }

    /// The largest of the three distances, and of 1 at the threshold of being mirrored, 2 when that is certain, 0 when
    /// it is not so or there is no embryo: `[N]` from logits and P(alive), `[N]`.
    pub(crate) fn of(&self, views: &Views, mirrored: &Tensor, alive: &Tensor) -> Tensor {
        self.distance(views).maximum(&((mirrored - self.mirror).sigmoid() * 2.0 * alive))
    }
}

/// A normal distribution of one view.
#[derive(Debug)]
struct View {
    mean: Tensor,
    /// Takes a deviation to units in which its square length is 1 at the quantile.
    whiten: Tensor,
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

fn quantile(values: &Tensor, share: f64) -> f64 {
    values.quantile_scalar(share, None::<i64>, false, "linear").double_value(&[])
}

/// Coarse means of the samples that locating sees, u8 `[N, 16, 16, 16]` as y, x, z, to `[N, 256]`: 8 x 8 x 4 boxes. In two
/// steps, because one mean over three dimensions takes five times as long.
pub(crate) fn image_means(samples: &Tensor) -> Tensor {
    let slices_last = samples.to_kind(Kind::Float).permute([0, 3, 1, 2]);
    let in_plane = slices_last.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
    let boxes = in_plane.permute([0, 2, 3, 1]).reshape([-1, 8, 8, 4, 4]);
    boxes.mean_dim([4_i64].as_slice(), false, Kind::Float).flatten(1, -1)
}

/// How noisy an image is, out of its [`image_means`]: the log of the mean of the boxes at its four long edges, `[N, 1]`. There
/// is nothing but noise (and the ghosts of what moved): an egg leaves the corners of every slice empty.
pub(crate) fn log_noise(means: &Tensor) -> Tensor {
    let edges = means.reshape([-1, 8, 8, 4]).slice(1, 0, None, 7).slice(2, 0, None, 7);
    // One unit more, so that an image without any noise has a log.
    (edges.flatten(1, -1).mean_dim([1_i64].as_slice(), true, Kind::Float) + 1.0).log()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn normal(rows: i64) -> Views {
        [3, 5, 7].map(|columns| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu)))
    }

    fn logits(rows: i64) -> Tensor {
        Tensor::randn([rows], (Kind::Float, Device::Cpu)) - 5.0
    }

    #[test]
    fn a_box_is_the_mean_of_its_samples() {
        let samples = Tensor::zeros([1, 16, 16, 16], (Kind::Uint8, Device::Cpu));
        // y 4 to 5, x 2 to 3, z 8 to 11.
        let _ = samples.narrow(1, 4, 2).narrow(2, 2, 2).narrow(3, 8, 4).fill_(96);
        let means = image_means(&samples);
        let at = (2 * 8 + 1) * 4 + 2;
        assert_eq!(means.double_value(&[0, at]), 96.0);
        assert_eq!(means.sum(Kind::Float).double_value(&[]), 96.0);
        assert_eq!(log_noise(&means).double_value(&[0, 0]), 0.0, "nothing is in the corners");
        let _ = samples.narrow(1, 14, 2).narrow(2, 0, 2).fill_(8);
        // One corner of four has a mean of 8.
        assert!((log_noise(&image_means(&samples)).double_value(&[0, 0]) - 3_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn few_of_the_same_kind_are_strange_and_all_of_another_kind_or_mirrored() {
        tch::manual_seed(1);
        let strangeness = Strangeness::fit(&normal(4000), &normal(4000), &logits(4000));
        let share = |views: &Views, mirrored: &Tensor| {
            let strange = strangeness.of(views, mirrored, &mirrored.ones_like());
            strange.gt(1.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
        };
        let same = share(&normal(20_000), &logits(20_000));
        assert!((0.001..0.012).contains(&same), "{same}");
        for odd in 0..3 {
            let mut views = normal(100);
            views[odd] += 10.0;
            assert!(share(&views, &logits(100)) > 0.99, "view {odd}");
        }
        assert!(share(&normal(100), &(logits(100) + 10.0)) > 0.99, "mirrored");
    }
}
