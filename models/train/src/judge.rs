//! What is served: the net, calibrated, with its strangeness, as one function of the input.

use crate::doubt::Doubt;
use crate::net::{Net, flat};
use crate::strange::{Strangeness, Views, image_means, log_noise};
use ovomesh_model::manifest::OUTPUTS;
use tch::{Kind, Tensor};

/// The whole decision of one batch.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    /// Folded.
    pub(crate) net: &'a Net,
    /// What the logits of egg kinds are divided by.
    pub(crate) temperature: f64,
    /// What the logits of sexes are multiplied by.
    pub(crate) doubt: Doubt,
    /// What is not the kind of image that the net knows.
    pub(crate) strangeness: Strangeness,
}

/// What the net says before calibration.
pub(crate) struct Raw {
    /// Logits of alive, infertile, dead.
    pub(crate) alive: Tensor,
    /// Logits of female, male.
    pub(crate) sex: Tensor,
    /// What the head has seen, how noisy the image is, and how far it looks like a mirror image.
    pub(crate) seen: Tensor,
    /// Logit of being mirrored.
    pub(crate) mirrored: Tensor,
    /// z, y, x.
    pub(crate) centre: Tensor,
    /// For [`Strangeness`].
    pub(crate) views: Views,
}

/// Logits of being mirrored from each of which on there may be more doubt: most eggs lie below all of them.
const MIRRORED_FROM: [f64; 3] = [-5.0, -2.5, 0.0];

/// Runs all stages of a folded net.
pub(crate) fn raw(net: &Net, input: &Tensor) -> Raw {
    let input = flat(input);
    let located = net.locate(&input, false);
    let refined = net.refine(&input, &located.frame, false);
    let said = net.say(&input, &refined.frame, [&located.features, &refined.features], false);
    let means = image_means(&located.samples);
    let noise = log_noise(&means);
    let beyond = MIRRORED_FROM.map(|from| (&said.mirrored - from).relu().unsqueeze(1));
    let [a, b, c] = beyond;
    let seen = Tensor::cat(&[said.seen, noise.square(), noise, a, b, c], 1);
    let views = [means, located.features, said.features];
    Raw {
        alive: said.alive,
        sex: said.sex,
        seen,
        mirrored: said.mirrored,
        centre: refined.frame.centre,
        views,
    }
}

impl Judge<'_> {
    /// u8 `[N, 16, 48, 48]` to `[N, 8]`: see [`OUTPUTS`].
    pub(crate) fn judge(&self, input: &Tensor) -> Tensor {
        let raw = raw(self.net, input);
        let alive = (&raw.alive / self.temperature).softmax(1, Kind::Float);
        let sex = self.doubt.apply(&raw.sex, &raw.seen).softmax(1, Kind::Float);
        let living = alive.narrow(1, 0, 1);
        let strange = self.strangeness.of(&raw.views, &raw.mirrored, &living.squeeze_dim(1)).unsqueeze(1);
        let columns = Tensor::cat(&[living * sex, alive.narrow(1, 1, 2), raw.centre, strange], 1);
        debug_assert_eq!(columns.size()[1], OUTPUTS.len() as i64);
        columns
    }
}
