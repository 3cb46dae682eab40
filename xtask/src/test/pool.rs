//! Test programs side by side: each says its result in one line, and all that it printed when it failed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::times::Test;
use crate::build::target_folder;

/// Something to run.
pub struct Job {
    /// As it is told.
    pub name: String,
    /// How it is run.
    pub command: Command,
    /// Whether it is a test program with Rust's own harness.
    pub is_harness: bool,
}

/// What came of all jobs.
#[derive(Default)]
pub struct Tests {
    /// Of all programs.
    pub tests: Vec<Test>,
    /// Jobs that failed, or could not be run.
    pub failed: Vec<String>,
    /// How many tests passed, failed, and were ignored.
    pub counts: [usize; 3],
    /// The slowest jobs, and how long each took.
    pub jobs: Vec<(String, Duration)>,
}

impl Tests {
    /// An error that names what failed.
    pub fn all_passed(&self) -> anyhow::Result<()> {
        let [passed, failed, ignored] = self.counts;
        println!("tests: {passed} passed, {failed} failed, {ignored} skipped");
        anyhow::ensure!(self.failed.is_empty(), "failed: {}", self.failed.join(", "));
        anyhow::ensure!(!self.jobs.is_empty(), "no test has such a name");
        Ok(())
    }
}

/// Runs the jobs, `side_by_side` at a time.
pub fn run(jobs: Vec<Job>, side_by_side: usize) -> anyhow::Result<Tests> {
    let logs = target_folder().join("test-logs");
    fs::create_dir_all(&logs)?;
    let waiting = Mutex::new(VecDeque::from(jobs));
    let done = Mutex::new(Tests::default());
    thread::scope(|scope| {
        for _ in 0..side_by_side.max(1) {
            scope.spawn(|| {
                while let Some(job) = next(&waiting) {
                    let (name, begun) = (job.name.clone(), Instant::now());
                    let outcome = run_one(job, &logs);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.note(name, begun.elapsed(), outcome);
                }
            });
        }
    });
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn next(waiting: &Mutex<VecDeque<Job>>) -> Option<Job> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// What one job printed, and whether it succeeded.
struct Outcome {
    success: bool,
    output: String,
}

fn run_one(mut job: Job, logs: &Path) -> anyhow::Result<Outcome> {
    let log: PathBuf = logs.join(format!("{}.log", job.name.replace(['/', ' '], "-")));
    if job.is_harness {
        // The harness of a stable toolchain keeps what a test took to itself, unless it is asked this way.
        job.command.args(["-Zunstable-options", "--report-time"]).env("RUSTC_BOOTSTRAP", "1");
    }
    let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
    job.command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = job.command.status().with_context(|| format!("running {:?}", job.command.get_program()))?;
    let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(Outcome { success: status.success(), output })
}

impl Tests {
    fn note(&mut self, name: String, took: Duration, outcome: anyhow::Result<Outcome>) {
        let seconds = took.as_secs_f64();
        match outcome {
            Ok(Outcome { success, output }) => {
                let mut tests = Test::read(&name, &output);
                if tests.is_empty() && !output.contains("running 0 tests") {
                    // Not a program of tests: it is one.
                    tests.push(Test::one(&name, success, took));
                }
                let counts = Test::counts(&tests, success);
                for (sum, count) in self.counts.iter_mut().zip(counts) {
                    *sum += count;
                }
                self.tests.extend(tests);
                if success {
                    println!("ok      {name:<40} {:>4} tests {seconds:>7.1} s", counts[0]);
                } else {
                    println!("{output}\nFAILED  {name} after {seconds:.1} s: see above");
                    self.failed.push(name.clone());
                }
            }
            Err(error) => {
                println!("FAILED  {name}: {error:#}");
                self.failed.push(name.clone());
            }
        }
        self.jobs.push((name, took));
    }
}
