//! `ovomesh`: the command line for people.

use std::process::ExitCode;

// The simulator allocates a volume for every scan: glibc gives such blocks back to the kernel each time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ovomesh_cli::main()
}
