//! What each test took, read from what the harness prints, and the closing table.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use super::pool::Tests;

/// How many of the slowest tests and programs are printed.
const SLOWEST: usize = 10;

/// A test that ran, or was ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its program and its name.
    pub name: String,
    /// How it ended.
    pub result: TestResult,
    /// What it took, where the harness said so.
    pub took: Option<Duration>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestResult {
    Passed,
    Failed,
    Ignored,
}

impl Test {
    /// Reads lines such as `test a::b ... ok <1.234s>`, or, of a harness that says no times, `test a::b ... ok` after
    /// `time a::b <1.234s>`.
    pub fn read(program: &str, output: &str) -> Vec<Self> {
        let mut times = HashMap::new();
        let mut tests = Vec::new();
        for line in output.lines() {
            if let Some((name, time)) = line.strip_prefix("time ").and_then(|time| time.split_once(" <")) {
                times.insert(name, duration(time));
            } else if let Some((name, result, took)) = Self::read_line(line) {
                let took = took.or_else(|| times.remove(name).flatten());
                tests.push(Self { name: format!("{program}: {name}"), result, took });
            }
        }
        tests
    }

    fn read_line(line: &str) -> Option<(&str, TestResult, Option<Duration>)> {
        let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let (word, time) = result.split_once(" <").unwrap_or((result, ""));
        let result = match word.split([',', ' ']).next()? {
            "ok" => TestResult::Passed,
            "FAILED" => TestResult::Failed,
            "ignored" => TestResult::Ignored,
            _ => return None,
        };
        Some((name.trim_end(), result, duration(time)))
    }

    /// A program that is a test as a whole.
    pub fn one(program: &str, success: bool, took: Duration) -> Self {
        let result = if success { TestResult::Passed } else { TestResult::Failed };
        Self { name: program.to_owned(), result, took: Some(took) }
    }

    /// How many passed, failed, and were ignored.
    pub fn counts(tests: &[Self], success: bool) -> [usize; 3] {
        let of = |result| tests.iter().filter(|test| test.result == result).count();
        let failed = of(TestResult::Failed);
        // A program may fail without a test that does: it crashed.
        let crashed = usize::from(!success && failed == 0);
        [of(TestResult::Passed), failed + crashed, of(TestResult::Ignored)]
    }
}

/// Of `1.234s>`.
fn duration(text: &str) -> Option<Duration> {
    text.strip_suffix("s>").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs_f64)
}

/// Prints what each step, and the slowest programs and tests took.
pub fn print_times(steps: &[(&'static str, Duration)], tests: &Tests) {
    let all: Duration = steps.iter().map(|(_, took)| *took).sum();
    print_table("What each step took", steps.iter().map(|(name, took)| (*name, *took)));
    println!("{:>8.1} s  all steps", all.as_secs_f64());
    let programs = slowest(tests.jobs.iter().map(|(name, took)| (name.as_str(), *took)));
    print_table("The slowest test programs, side by side", programs);
    let timed = tests.tests.iter().filter_map(|test| Some((test.name.as_str(), test.took?)));
    print_table("The slowest tests", slowest(timed));
}

fn slowest<'a>(
    times: impl Iterator<Item = (&'a str, Duration)>,
) -> impl Iterator<Item = (&'a str, Duration)> {
    let mut times: Vec<_> = times.collect();
    times.sort_by_key(|(_, took)| Reverse(*took));
    times.into_iter().take(SLOWEST)
}

fn print_table<'a>(heading: &str, times: impl Iterator<Item = (&'a str, Duration)>) {
    let mut times = times.peekable();
    if times.peek().is_some() {
        println!("\n{heading}:");
    }
    for (name, took) in times {
        println!("{:>8.1} s  {name}", took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_harness_are_read() {
        let output = "running 4 tests\ntest a::fast ... ok <0.010s>\ntest slow ... FAILED <12.500s>\n\
                      test old ... ignored, needs a GPU\ntime kube <3.000s>\ntest kube   ... ok\nfailures:\n";
        let tests = Test::read("p", output);
        let read: Vec<_> = tests.iter().map(|test| (test.name.as_str(), test.result)).collect();
        let expected = [
            ("p: a::fast", TestResult::Passed),
            ("p: slow", TestResult::Failed),
            ("p: old", TestResult::Ignored),
            ("p: kube", TestResult::Passed),
        ];
        assert_eq!(read, expected);
        assert_eq!([tests[1].took, tests[3].took], [12_500, 3_000].map(|ms| Some(Duration::from_millis(ms))));
        assert_eq!(Test::counts(&tests, false), [2, 1, 1]);
    }

    #[test]
    fn a_program_that_crashes_has_failed() {
        assert_eq!(Test::counts(&[], false), [0, 1, 0]);
        let passed = Test { name: "a".into(), result: TestResult::Passed, took: None };
        assert_eq!(Test::counts(&[passed], false), [1, 1, 0]);
    }
}
