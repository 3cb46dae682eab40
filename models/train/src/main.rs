//! See the library. The allocator is the one of the inference service, which this links.

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    ovomesh_train::run(&ovomesh_train::Args::parse())
}
