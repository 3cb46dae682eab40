//! Test programs side by side: each says its result in one line, and all that it printed when it failed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use parking_lot::Mutex;

use super::times::{Test, counts};
use crate::build::target_folder;

pub struct Job {
    /// Its name in the output.
    pub name: String,
    /// How it is run.
    pub command: Command,
    /// Whether it is a test program with Rust's own harness.
    pub is_harness: bool,
    /// Whether it starts a whole cluster: one such job at a time is all that two cores can do beside others.
    pub is_heavy: bool,
}

/// The results of all jobs.
#[derive(Default)]
pub struct Tests {
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
    let waiting = Mutex::new(Waiting { jobs: jobs.into(), heavy_runs: false });
    let done = Mutex::new(Tests::default());
    // A function of its own, so that the lock is not held while the job runs.
    let next = || waiting.lock().next();
    thread::scope(|scope| {
        for _ in 0..side_by_side.max(1) {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let (name, is_heavy, begun) = (job.name.clone(), job.is_heavy, Instant::now());
                    let outcome = run_one(job, &logs);
                    waiting.lock().heavy_runs &= !is_heavy;
                    done.lock().note(name, begun.elapsed(), outcome);
                }
            });
        }
    });
    Ok(done.into_inner())
}

struct Waiting {
    jobs: VecDeque<Job>,
    heavy_runs: bool,
}

impl Waiting {
    /// The first job that may run now. Where only heavy ones are left, the thread that runs one of them continues with the next.
    fn next(&mut self) -> Option<Job> {
        let at = self.jobs.iter().position(|job| !(job.is_heavy && self.heavy_runs))?;
        let job = self.jobs.remove(at)?;
        self.heavy_runs |= job.is_heavy;
        Some(job)
    }
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
                let counts = counts(&output, success);
                for (sum, count) in self.counts.iter_mut().zip(counts) {
                    *sum += count;
                }
                self.tests.extend(Test::read(&name, &output));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_heavy_job_runs_at_a_time() {
        let job = |name: &str, is_heavy| Job {
            name: name.into(),
            command: Command::new("true"),
            is_harness: false,
            is_heavy,
        };
        let jobs = [job("kube", true), job("chaos", true), job("a", false)].into();
        let mut waiting = Waiting { jobs, heavy_runs: false };
        let mut next = || waiting.next().map(|job| job.name);
        assert_eq!([next(), next(), next()], [Some("kube".into()), Some("a".into()), None]);
        waiting.heavy_runs = false;
        assert_eq!(waiting.next().map(|job| job.name), Some("chaos".into()));
    }
}
