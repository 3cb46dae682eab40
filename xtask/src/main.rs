//! `cargo xtask`: everything that a developer does with this repository.

mod audit;
mod bench;
mod build;
mod cassandra;
mod chaos;
mod cluster;
mod crd;
mod demo;
#[cfg(test)]
mod layers;
mod libtorch;
mod load;
mod machine;
mod manifests;
mod python;
mod report;
mod run;
mod samples;
mod test;

use clap::{Parser, Subcommand};

/// Tasks of the ovomesh repository
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build what is needed, start the mesh as separate processes, simulate scanners, kill an inference process
    Demo(demo::Args),
    /// Run everything that CI runs: format, lints, tests, documentation, contract
    Test(test::Args),
    /// Measure rates, latency and cost of the whole mesh
    Bench(bench::Args),
    /// Kill every process under a steady load, and count what is lost: see `cargo xtask chaos --help`
    Chaos(chaos::Args),
    /// Train the model from phantoms: see `cargo xtask train -- --help`
    Train {
        /// Flags for the trainer
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Fetch libtorch, and the tests' Cassandra and Kubernetes control plane, into .cache/ (the other tasks fetch what they need)
    Fetch {
        /// Only libtorch: all that a build needs
        #[arg(long)]
        libtorch: bool,
    },
    /// Leave a Kubernetes control plane running, with simulated nodes and pods, and ovomesh's resources installed
    Cluster(cluster::Args),
    /// Write the custom resources' YAML into the chart, and the rendered chart into k8s/
    Crd(crd::Args),
    /// Build the programs in release mode into target/release
    Build,
    /// Check licences, sources and advisories of all dependencies
    Audit,
    /// Keep the contract of proto/ as that of a release, which later changes may not break
    Release {
        /// Such as 0.2.0
        version: String,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Chaos(args) => chaos::run_with(&args),
        Task::Train { flags } => build::train(&flags),
        Task::Fetch { libtorch: true } => libtorch::provide(),
        Task::Fetch { libtorch: false } => {
            libtorch::provide()?;
            cassandra::provide()?;
            ovomesh_testkit::kube::build()
        }
        Task::Cluster(args) => cluster::run(&args),
        Task::Crd(args) => crd::run(&args),
        Task::Build => build::release().map(drop),
        Task::Audit => audit::run(),
        Task::Release { version } => test::release_contract(&version),
    }
}
