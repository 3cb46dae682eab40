//! What decides the result of a training.

use crate::data::Taking;
use crate::net::Widths;
use crate::prepare::Step;
use ovomesh_model::model::Precision;
use serde::{Deserialize, Serialize};

/// All that decides what a training gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    /// Channels of the net.
    pub(crate) widths: Widths,
    /// Seed of all random numbers.
    pub(crate) seed: u64,
    /// Steps of gradient descent.
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    /// Different eggs to learn from in all; each is scanned with fresh noise every time.
    pub(crate) eggs: usize,
    /// As many chapters of equal length share the eggs: those of one chapter are made when it begins, and are all that is
    /// kept in memory. A net that sees the same 32,000 eggs to the end learns them by heart.
    pub(crate) chapters: usize,
    /// Highest learning rate; it falls to zero along a cosine.
    pub(crate) rate: f64,
    /// Range of the trunk's signal to noise, drawn from it, higher ones more often.
    pub(crate) snr: (f64, f64),
    /// Compute convolutions in bfloat16. Weights, gradients and losses stay in 32-bit floats.
    pub(crate) bf16: bool,
    /// A step of preprocessing that is left out, to see what it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) without: Option<Step>,
}

impl Recipe {
    /// What its convolutions compute in.
    pub(crate) fn precision(&self) -> Precision {
        if self.bf16 { Precision::Bf16 } else { Precision::Fp32 }
    }

    /// How scans are taken to learn from, and to calibrate with.
    pub(crate) fn taking(&self) -> Taking {
        Taking { snr: self.snr, without: self.without, ..Taking::at(1.0) }
    }
}
