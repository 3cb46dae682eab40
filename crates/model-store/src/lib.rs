//! A model from where models are kept, into a folder of this machine: each byte is checked before it counts.
//!
//! One hash is enough to name a model: that of its `model.toml`, which holds those of its other files. What is in the folder
//! already and right is not pulled again; what is wrong never gets there, since a model is put together beside its target
//! and moved there whole.

mod pull;

pub use pull::{PullError, pull};
