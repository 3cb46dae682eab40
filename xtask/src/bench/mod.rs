//! Measurements of the product against its targets. Ratios within one run where machines are noisy.

mod accuracy;
mod e2e;
mod edge;
mod overload;
mod soak;

use crate::run::{cargo, run as execute};
use crate::{build, cassandra, machine};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The whole mesh, from scanner to stored row: rates, latencies, CPU, a frozen and a killed process
    E2e(e2e::Args),
    /// The same through an agent at the edge: latency, memory, and the rate with a spool on disk
    Edge(edge::Args),
    /// What is decided, and how soon, when more scans come than the mesh can decide
    Overload(overload::Args),
    /// How often the whole chain is right, over gRPC, on phantoms that no model has seen
    Accuracy(accuracy::Args),
    /// Rows a second through results-store into one Cassandra node, beside a bare loop over the driver
    Store {
        /// Flags of the measurement: --seconds S, --rounds N, --json FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Memory of every service after N x 1,000 mixed scans and after N x 10,000
    Soak {
        /// Flags of the measurement: --thousands N, --json FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// What gRPC and batching add to a scan's inference, beside the model called directly
    Inference {
        /// Flags of the measurement: --seconds S, --json FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Late eggs and pod-hours of the operator's scaling beside KEDA and HPA, on a simulated fleet (ten minutes)
    Autoscaling {
        /// Flags of the simulation, such as --json FILE, --plots DIR; `cargo xtask bench autoscaling -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
}

/// Runs a benchmark.
pub fn run(args: &Args) -> anyhow::Result<()> {
    machine::check(&[])?;
    match &args.what {
        What::E2e(args) => e2e::run(args),
        What::Edge(args) => edge::run(args),
        What::Overload(args) => overload::run(args),
        What::Accuracy(args) => accuracy::run(args),
        What::Store { flags } => {
            cassandra::provide()?;
            let example =
                ["run", "--release", "--package", "ovomesh-results-store", "--example", "cql", "--"];
            execute(cargo(&example).args(flags))
        }
        What::Soak { flags } => soak::run(flags),
        // The dev profile optimises what the simulation needs.
        What::Autoscaling { flags } => {
            execute(cargo(&["run", "--quiet", "--package", "ovomesh-autoscaling", "--"]).args(flags))
        }
        What::Inference { flags } => build::example("ovomesh-inference", "overhead", flags),
    }
}
