//! Stage: prepared volume to the model's scores.
//!
//! [`engine`] is the model behind a queue and a few threads, without gRPC.

pub mod batch;
pub mod device;
pub mod engine;
mod error;
mod ffi;
pub mod manifest;
pub mod model;
mod queue;
mod worker;

pub use engine::{Engine, EngineConfig, Inferred, Provenance, Work};
pub use error::EngineError;
