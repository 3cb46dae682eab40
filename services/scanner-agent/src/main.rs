//! `ovomesh-scanner-agent`: see the library.

use ovomesh_scanner_agent::{Args, Config, NAME, asked_to_decode, decode, run};

fn main() -> Result<(), ovomesh_bootstrap::Failure> {
    if let Some(limits) = asked_to_decode() {
        return Ok(decode(limits)?);
    }
    let args = ovomesh_bootstrap::terminal::parse::<Args>();
    let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
    ovomesh_bootstrap::main(NAME, &server, &telemetry, || Config::try_from(args), run)
}
