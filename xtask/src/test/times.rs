//! What each test took, read from what the harness prints, and the closing table.

use std::cmp::Reverse;
use std::time::Duration;

use super::pool::Tests;

/// How many of the slowest tests and programs are printed.
const SLOWEST: usize = 10;

/// A test, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its program and its name.
    pub name: String,
    pub took: Duration,
}

impl Test {
    /// Reads lines such as `test a::b ... ok <1.234s>`, and `time a::b <1.234s>` of a harness that says no times.
    pub fn read(program: &str, output: &str) -> Vec<Self> {
        let read_line = |line: &str| {
            let (name, time) = match line.strip_prefix("test ") {
                Some(test) => {
                    let (name, result) = test.rsplit_once(" ... ")?;
                    (name, result.split_once(" <")?.1)
                }
                None => line.strip_prefix("time ")?.split_once(" <")?,
            };
            Some(Self { name: format!("{program}: {}", name.trim_end()), took: duration(time)? })
        };
        output.lines().filter_map(read_line).collect()
    }
}

/// How many tests passed, failed, and were ignored, by the last lines of the harness. What has none is one test.
pub fn counts(output: &str, success: bool) -> [usize; 3] {
    let mut counts = [0; 3];
    let results: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("test result: ")).collect();
    for result in &results {
        for (sum, word) in counts.iter_mut().zip(["passed", "failed", "ignored"]) {
            let before = result.split_once(word).map_or("", |(before, _)| before.trim_end());
            *sum += before.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        }
    }
    match (success, results.is_empty()) {
        (true, true) => counts[0] = 1,
        // It may fail without a test that does: it crashed.
        (false, _) => counts[1] = counts[1].max(1),
        (true, false) => {}
    }
    counts
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
    let timed = tests.tests.iter().map(|test| (test.name.as_str(), test.took));
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
    fn what_the_harness_prints_is_read() {
        let output = "running 4 tests\ntest a::fast ... ok <0.010s>\ntest slow ... FAILED <12.500s>\n\
                      test old ... ignored, needs a GPU\ntest kube   ... \ntime kube <3.000s>\nok\nfailures:\n\n\
                      test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n";
        let read: Vec<_> = Test::read("p", output).into_iter().map(|test| (test.name, test.took)).collect();
        let expected = [("p: a::fast", 10), ("p: slow", 12_500), ("p: kube", 3_000)];
        assert_eq!(read, expected.map(|(name, ms)| (name.to_owned(), Duration::from_millis(ms))));
        assert_eq!(counts(output, false), [2, 1, 1]);
    }

    #[test]
    fn what_is_no_program_of_tests_is_one_test_and_a_crash_is_a_failure() {
        assert_eq!(counts("all is well", true), [1, 0, 0]);
        assert_eq!(counts("it is not", false), [0, 1, 0]);
        let all_passed = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(all_passed, false), [2, 1, 0], "it crashed after its tests");
    }
}
