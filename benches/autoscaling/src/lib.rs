//! A simulated fleet on which the operator's own decision function (`ovomesh-scaling`) is compared with KEDA and the HPA,
//! with a fixed pool, and with what somebody could do who knows what will come.
//!
//! `cargo xtask bench autoscaling` runs it; `docs/scaling.md` has its results.

pub mod clairvoyant;
pub mod fleet;
pub mod keda;
pub mod ours;
pub mod plots;
pub mod report;
pub mod run;
pub mod scaler;
pub mod study;
pub mod trace;
