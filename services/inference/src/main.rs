//! `ovomesh-inference`: see the library.

use ovomesh_inference::{Args, Config, NAME, run};

fn main() -> Result<(), ovomesh_bootstrap::Failure> {
    let args = ovomesh_bootstrap::terminal::parse::<Args>();
    let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
    ovomesh_bootstrap::main(NAME, &server, &telemetry, || Config::try_from(args), run)
}
