//! Kills everything under a steady load, and counts what is lost: `tests/chaos` does it.

use std::process::Command;

use crate::run::{cargo, run};
use crate::{build, cassandra};

/// How, and what with.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Flags for the chaos: see `cargo xtask chaos --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// Builds the programs in release mode, and runs the chaos on them.
pub fn run_with(args: &Args) -> anyhow::Result<()> {
    if args.flags.iter().any(|flag| flag == "--help" || flag == "-h") {
        return run(chaos("dev").args(&args.flags));
    }
    cassandra::provide()?;
    build::release()?;
    run(chaos("release").args(&args.flags))
}

/// The short form on the programs of the tests, which are built, and are beside it: at a rate that unoptimised code keeps
/// up with beside the database.
pub fn short() -> Command {
    let mut chaos = Command::new(build::program("ovomesh-chaos"));
    chaos.args(["--rate", "40"]);
    chaos
}

/// It takes the programs that are beside it.
fn chaos(profile: &str) -> Command {
    cargo(&["run", "--quiet", "--profile", profile, "--package", "ovomesh-chaos", "--"])
}
