//! The model, without gRPC: what it is ([`manifest`]), where its
//! files are ([`repository`]), where it is computed ([`device`]), one batch of it ([`model`]), and
//! an [`engine`] that computes it behind a queue and a few threads. Used by inference and by the trainer.

pub mod batch;
pub mod device;
pub mod engine;
mod error;
mod ffi;
pub mod manifest;
pub mod model;
mod queue;
pub mod repository;
mod worker;

pub use engine::{Engine, EngineConfig, Inferred, Provenance, Work};
pub use error::EngineError;
