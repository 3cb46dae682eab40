//! The simulated fleet: the operator's scaling decision beside KEDA and HPA.

use crate::run::{cargo, run};

/// What to simulate; the simulator explains its flags.
#[derive(clap::Args)]
pub struct Args {
    /// Flags for the simulator, such as `--json FILE --plots DIR`; `cargo xtask sim -- --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// Runs it. The dev profile optimises what the simulator needs.
pub fn simulate(args: &Args) -> anyhow::Result<()> {
    run(cargo(&["run", "--quiet", "--package", "ovomesh-autoscaling", "--"]).args(&args.flags))
}
