//! Kills everything under a steady load, and counts what is lost: `tests/chaos` does it.

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
        return chaos("dev", &args.flags);
    }
    cassandra::fetch()?;
    build::release()?;
    chaos("release", &args.flags)
}

/// The short form on the programs of `cargo test`, at a rate that unoptimised code keeps up with beside the database.
pub fn short() -> anyhow::Result<()> {
    build::tested()?;
    chaos("dev", &["--rate".to_owned(), "40".to_owned()])
}

/// It takes the programs that are beside it.
fn chaos(profile: &str, flags: &[String]) -> anyhow::Result<()> {
    run(cargo(&["run", "--quiet", "--profile", profile, "--package", "ovomesh-chaos", "--"]).args(flags))
}
