//! `ovomesh-query`: see the library.

use ovomesh_query::{Args, Config, NAME, run};

// Messages of 128 KiB and more: the system's allocator gives their memory back each time, which doubles the CPU of a hop.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), ovomesh_bootstrap::Failure> {
    let args = ovomesh_bootstrap::terminal::parse::<Args>();
    let (server, telemetry) = (args.server.clone(), args.telemetry.clone());
    ovomesh_bootstrap::main(NAME, &server, &telemetry, || Config::try_from(args), run)
}
