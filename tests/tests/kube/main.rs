//! Everything on Kubernetes: a real control plane, simulated nodes and pods, and real processes that listen on the pods'
//! own addresses. All of it runs in a network of its own, where those addresses are local; one control plane for all
//! tests, a namespace for each. The tests run one after the other: the last ones stop the apiserver.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chart;
mod cost;
mod gateways;
mod kubelet;
mod lines;
mod mesh;
mod operator;
mod outages;
mod replicas;
mod resources;
mod rolling;
mod service;
mod surge;
mod world;

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use ovomesh_testkit::kube::{self, POD_CIDR};
use ovomesh_tests::in_own_network;

use world::World;

/// Set inside the network.
const INSIDE: &str = "OVOMESH_TEST_NETWORK";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let built = kube::is_built();
    if !built {
        eprintln!("ignored: the control plane is not built; `cargo xtask fetch` builds it");
    }
    // A list of names needs no network, and neither do tests that are ignored.
    if built && !arguments.list && std::env::var_os(INSIDE).is_none() {
        return enter_network();
    }
    ovomesh_tests::install_provider();
    let trial = |&(name, test): &world::Test| {
        Trial::test(name, move || {
            let begun = Instant::now();
            test(World::get());
            // As Rust's own harness says it, which this one does not: on a line of its own, after what the test said.
            println!("\ntime {name} <{:.3}s>", begun.elapsed().as_secs_f64());
            World::get().clear();
            Ok(())
        })
        .with_ignored_flag(!built)
    };
    let all = [
        resources::TESTS,
        operator::TESTS,
        lines::TESTS,
        surge::TESTS,
        replicas::TESTS,
        rolling::TESTS,
        chart::TESTS,
        cost::TESTS,
        outages::TESTS,
    ];
    let trials = all.into_iter().flatten().map(trial).collect();
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    let conclusion = libtest_mimic::run(&arguments, trials);
    World::end();
    conclusion.exit_code()
}

/// Starts this program again in a network where the pods' addresses are local.
fn enter_network() -> ExitCode {
    let mut inside = in_own_network(&std::env::current_exe().unwrap(), &[POD_CIDR]);
    let error = inside.args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    eprintln!(
        "a network of its own could not be made: {error}; it needs `unshare` and `ip`, and root or user namespaces"
    );
    ExitCode::FAILURE
}
