//! See the library.

use clap::Parser as _;

// libtorch frees its activations after every pass: the system's allocator gives their memory back each time, which makes it
// 2 to 3 times slower.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    ovomesh_train::run(&ovomesh_train::Args::parse())
}
