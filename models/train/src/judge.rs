//! What is served: the net, calibrated, with its strangeness, as one function of the input.

use crate::net::Net;
use crate::strange::{Strangeness, Views, image_means};
use ovomesh_inference::manifest::OUTPUTS;
use tch::{Kind, Tensor};

/// The whole decision of one batch.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    /// Folded.
    pub(crate) net: &'a Net,
    /// What the logits of egg kinds and of sexes are divided by.
    pub(crate) temperatures: [f64; 2],
    /// What is not the kind of image that the net knows.
    pub(crate) strangeness: Strangeness,
}

/// What the net says before calibration.
pub(crate) struct Raw {
    /// Logits of alive, infertile, dead.
    pub(crate) alive: Tensor,
    /// Logits of female, male.
    pub(crate) sex: Tensor,
    /// z, y, x.
    pub(crate) centre: Tensor,
    /// For [`Strangeness`].
    pub(crate) views: Views,
}

/// Runs both stages of a folded net.
pub(crate) fn raw(net: &Net, input: &Tensor) -> Raw {
    let located = net.locate(input, false);
    let sexed = net.sex(input, &located.centre, false);
    let views = [image_means(&located.pooled), located.features, sexed.features];
    Raw { alive: located.alive, sex: sexed.sex, centre: located.centre, views }
}

impl Judge<'_> {
    /// u8 `[N, 16, 48, 48]` to `[N, 8]`: see [`OUTPUTS`].
    pub(crate) fn judge(&self, input: &Tensor) -> Tensor {
        let raw = raw(self.net, input);
        let [alive, sex] = [(&raw.alive, self.temperatures[0]), (&raw.sex, self.temperatures[1])]
            .map(|(logits, temperature)| (logits / temperature).softmax(1, Kind::Float));
        let sexes = alive.narrow(1, 0, 1) * sex;
        let strange = self.strangeness.of(&raw.views).unsqueeze(1);
        let columns = Tensor::cat(&[sexes, alive.narrow(1, 1, 2), raw.centre, strange], 1);
        debug_assert_eq!(columns.size()[1], OUTPUTS.len() as i64);
        columns
    }
}
