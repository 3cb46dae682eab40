//! How long the served files take.

use crate::cpu::thread_seconds;
use anyhow::Result;
use ovomesh_model::model::Model;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// One model file at one batch size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Speed {
    pub(crate) precision: String,
    pub(crate) batch: usize,
    /// Microseconds of one core for each scan.
    pub(crate) us_per_scan: f64,
}

const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];
/// Not counted: libtorch compiles on the first runs.
const WARM_RUNS: usize = 5;
/// Scans a round: a few tenths of a second.
pub(crate) const SCANS: usize = 1024;

/// Measures on this thread and this machine, `scans` a round; the fastest of `rounds` counts.
pub(crate) fn measure(models: &[&Model], rounds: usize, scans: usize) -> Result<Vec<Speed>> {
    let _no_grad = tch::no_grad_guard();
    let each = models.iter().flat_map(|model| BATCHES.map(|batch| (model, batch)));
    each.map(|(model, batch)| one(model, batch, rounds, scans)).collect()
}

fn one(model: &Model, batch: usize, rounds: usize, scans: usize) -> Result<Speed> {
    let [z, y, x] = model.manifest.input.map(|samples| samples as i64);
    let input = Tensor::randint(256, [batch as i64, z, y, x], (Kind::Uint8, Device::Cpu));
    for _ in 0..WARM_RUNS {
        model.run(&input, batch)?;
    }
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let began = thread_seconds();
        for _ in 0..scans / batch {
            model.run(&input, batch)?;
        }
        best = best.min(thread_seconds() - began);
    }
    let us_per_scan = (best / scans as f64 * 1e6).round();
    Ok(Speed { precision: model.precision.to_string(), batch, us_per_scan })
}
