//! How long the served files take.

use anyhow::Result;
use ovomesh_inference::model::{Model, Precision};
use serde::Serialize;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// One model file at one batch size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Speed {
    /// Which file.
    pub(crate) precision: String,
    /// Scans at once.
    pub(crate) batch: usize,
    /// Microseconds of one core for each scan.
    pub(crate) us_per_scan: f64,
}

const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];
/// Not counted: libtorch compiles on the first runs.
const WARM_RUNS: usize = 5;
/// The fastest of so many rounds counts, so that other work on the machine does not.
const ROUNDS: usize = 10;
const RUNS: usize = 20;

/// Measures on this thread and this machine.
pub(crate) fn measure(models: &[&Model]) -> Result<Vec<Speed>> {
    let _no_grad = tch::no_grad_guard();
    let each = models.iter().flat_map(|model| BATCHES.map(|batch| (model, batch)));
    each.map(|(model, batch)| one(model, batch)).collect()
}

fn one(model: &Model, batch: usize) -> Result<Speed> {
    let [z, y, x] = model.manifest.input.map(|samples| samples as i64);
    let input = Tensor::randint(256, [batch as i64, z, y, x], (Kind::Uint8, Device::Cpu));
    for _ in 0..WARM_RUNS {
        model.run(&input, batch)?;
    }
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..RUNS {
            model.run(&input, batch)?;
        }
        best = best.min(began.elapsed().as_secs_f64());
    }
    let us_per_scan = (best / (RUNS * batch) as f64 * 1e6).round();
    let precision = if model.precision == Precision::Bf16 { "bf16" } else { "fp32" };
    Ok(Speed { precision: precision.to_owned(), batch, us_per_scan })
}
