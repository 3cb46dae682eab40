//! SIGTERM to a real process.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::process::ExitStatus;

use common::{LIMIT, minimal};
use ovomesh_testkit::{Process, get, wait_until};

/// Begins a call that takes `millis` and sends SIGTERM while it runs. The answer, if any, and the end.
fn terminate_during(millis: u64, process: &mut Process) -> (Option<String>, ExitStatus) {
    let address = process.address();
    let path = format!("/wait/{millis}");
    let call = std::thread::spawn(move || get(address, &path).ok().map(|(_, body)| body));
    let runs = || (get(address, "/waiting").ok()?.1 == "1").then_some(());
    wait_until("the call runs", LIMIT, runs).unwrap();
    let end = process.terminate().unwrap();
    (call.join().unwrap(), end)
}

#[test]
fn a_call_that_runs_at_sigterm_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = minimal("patient", &[], folder.path());
    let (answer, end) = terminate_during(1_500, &mut process);
    assert_eq!(answer.as_deref(), Some("done\n"));
    assert!(end.success(), "{end}: {}", process.log());
}

#[test]
fn a_call_that_outlasts_the_drain_is_left_and_the_exit_code_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = minimal("strict", &["--drain-seconds", "1"], folder.path());
    let (answer, end) = terminate_during(600_000, &mut process);
    assert!(answer.is_none_or(|body| body.is_empty()));
    assert!(!end.success());
    assert!(process.log().contains("did not finish within 1 s"), "{}", process.log());
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let first = minimal("first", &[], folder.path());
    let beside = std::env::current_exe().unwrap();
    let program = beside.parent().unwrap().parent().unwrap().join("examples/minimal");
    let second = std::process::Command::new(program)
        .args(["--listen", &first.address().to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && text.contains(&format!("listening on {}", first.address())),
        "{text}"
    );
}
