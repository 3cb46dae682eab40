//! Whether services grow with the scans that they have seen: `tests/src/bin/soak.rs` measures it.

use crate::build;
use crate::run::{cargo, run as execute};

/// Builds the programs in release mode, and runs the soak on them.
pub fn run(flags: &[String]) -> anyhow::Result<()> {
    build::release()?;
    // It takes the programs that are beside it.
    let soak = ["run", "--quiet", "--release", "--package", "ovomesh-tests", "--bin", "ovomesh-soak", "--"];
    execute(cargo(&soak).args(flags))
}
