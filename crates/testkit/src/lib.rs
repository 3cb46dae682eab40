//! Starts ovomesh as real processes on loopback: for end-to-end tests, the demo and the benchmarks.
//!
//! It depends on no service and on no runtime: it is given a folder of programs, and it knows their flags.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use ovomesh_testkit::{Fleet, Programs};
//! let programs = Programs::beside_this_one()?;
//! let mut fleet = Fleet::start(&programs, Default::default())?;
//! fleet.get_mut("inference-1")?.kill()?;
//! fleet.restart("inference-1")?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod cassandra;
mod clock;
mod fleet;
mod http;
pub mod kube;
mod process;
mod programs;
mod signal;
mod small_disk;
mod spawner;
mod usage;
mod wait;

pub use cache::{Cached, linked};
pub use cassandra::{Cassandra, Cluster, Commitlog, Network};
pub use clock::{step_clock, wrong_clock};
pub use fleet::{Fleet, Shape};
pub use http::get;
pub use process::Process;
pub use programs::{Programs, repository};
pub use small_disk::SmallDisk;
pub use usage::Usage;
pub use wait::wait_until;
