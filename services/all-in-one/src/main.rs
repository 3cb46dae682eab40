//! `ovomeshd`: see the library.

use clap::Parser;
use ovomesh_all_in_one::{Args, Config, NAME, run};

fn main() -> Result<(), ovomesh_bootstrap::Failure> {
    let args = Args::parse();
    let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
    ovomesh_bootstrap::main(NAME, &server, &telemetry, || Config::try_from(args), run)
}
