//! AdamW whose state can be saved (tch's own keeps it inside libtorch), and a slow average of the weights.

use std::collections::BTreeMap;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// Decoupled weight decay: Loshchilov and Hutter, 2019.
#[derive(Debug)]
pub(crate) struct AdamW {
    /// Weights by name, and the moving means of their gradients and of the squares.
    weights: BTreeMap<String, [Tensor; 3]>,
}

const BETAS: [f64; 2] = [0.9, 0.98];
const EPSILON: f64 = 1e-8;
const WEIGHT_DECAY: f64 = 0.02;
/// Gradients are scaled down to this norm over all weights.
const MAX_NORM: f64 = 1.0;

impl AdamW {
    /// For the trainable weights of `vars`.
    pub(crate) fn new(vars: &VarStore) -> Self {
        let trainable = vars.variables().into_iter().filter(|(_, weight)| weight.requires_grad());
        let with_moments = |weight: Tensor| {
            let [mean, square] = [(); 2].map(|()| weight.zeros_like().detach());
            [weight, mean, square]
        };
        Self { weights: trainable.map(|(name, weight)| (name, with_moments(weight))).collect() }
    }

    /// One step down the gradients of `loss` for the weights whose name `learns`; `step` counts from 1.
    pub(crate) fn step(&mut self, loss: &Tensor, rate: f64, step: usize, learns: impl Fn(&str) -> bool) {
        for [weight, ..] in self.weights.values_mut() {
            weight.zero_grad();
        }
        loss.backward();
        let _no_grad = tch::no_grad_guard();
        let learn = || self.weights.iter().filter(|(name, _)| learns(name));
        let norms: Vec<Tensor> = learn().map(|(_, [weight, ..])| weight.grad().norm()).collect();
        let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
        let shrink = (MAX_NORM / (norm + 1e-6)).min(1.0);
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let [mean_bias, square_bias] = BETAS.map(|beta| 1.0 - beta.powi(power));
        for (_, [weight, mean, square]) in self.weights.iter_mut().filter(|(name, _)| learns(name)) {
            let gradient = weight.grad() * shrink;
            let _ = mean.lerp_(&gradient, 1.0 - BETAS[0]);
            let _ = square.lerp_(&gradient.square(), 1.0 - BETAS[1]);
            let spread = square.sqrt() / square_bias.sqrt() + EPSILON;
            let _ = weight.g_mul_scalar_(1.0 - rate * WEIGHT_DECAY);
            let _ = weight.g_sub_(&(&*mean / spread * (rate / mean_bias)));
        }
    }

    /// The moving means by name, for a checkpoint.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let of = |name: &str, [_, mean, square]: &[Tensor; 3]| {
            [
                (format!("mean.{name}"), mean.shallow_clone()),
                (format!("square.{name}"), square.shallow_clone()),
            ]
        };
        self.weights.iter().flat_map(|(name, state)| of(name, state)).collect()
    }

    /// Takes what [`AdamW::state`] gave; says which name is missing.
    pub(crate) fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), String> {
        for (name, [_, mean, square]) in &mut self.weights {
            for (prefix, into) in [("mean", mean), ("square", square)] {
                let name = format!("{prefix}.{name}");
                into.copy_(saved.get(&name).ok_or(name)?);
            }
        }
        Ok(())
    }
}

/// The average weighs the last few hundred steps: less noise than any single step.
const AVERAGE: f64 = 0.998;

/// Moves `average` a little towards `current`; both hold the same net. `step` counts from 1.
pub(crate) fn move_average(average: &[(Tensor, Tensor)], step: usize) {
    let _no_grad = tch::no_grad_guard();
    // Short at first, so that the random start is forgotten.
    let keep = AVERAGE.min(step as f64 / (step as f64 + 9.0));
    for (average, current) in average {
        let _ = average.shallow_clone().lerp_(current, 1.0 - keep);
    }
}

/// Pairs the variables of two stores of the same net by name.
pub(crate) fn paired(average: &VarStore, current: &VarStore) -> Vec<(Tensor, Tensor)> {
    let mut current = current.variables();
    let pair = |(name, average): (String, Tensor)| current.remove(&name).map(|current| (average, current));
    average.variables().into_iter().filter(|(_, t)| t.kind() == Kind::Float).filter_map(pair).collect()
}
