//! A start that fails: the process ends at once, and its last line is the cause.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use ovomesh_testkit::{Process, wait_until};
use ovomesh_tests::{Answer, LIMIT, Session, programs, scan};

/// The services, each with the flags that it cannot do without; `DATA` is a folder of its own.
const SERVICES: [(&str, &[&str]); 7] = [
    ("ovomesh-scanner-agent", &["--spool", "DATA"]),
    ("ovomesh-scanner-gateway", &[]),
    ("ovomesh-preprocess", &[]),
    ("ovomesh-inference", &[]),
    ("ovomesh-results-store", &["--data", "DATA"]),
    ("ovomesh-query", &[]),
    ("ovomeshd", &["--data", "DATA"]),
];

/// The last line of a program that cannot start. Its drain is longer than the test waits, so a start that waits for its
/// drain fails the test.
fn last_line(program: &str, flags: &[&str], folder: &Path) -> String {
    let mut command = programs().command(program).unwrap();
    let log = folder.join("log");
    command.args(["--drain-seconds", "3600"]).args(flags).current_dir(folder).env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let ended = wait_until(&format!("{program} {flags:?} ended"), LIMIT, || child.try_wait().ok().flatten());
    if ended.is_err() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let text = std::fs::read_to_string(log).unwrap();
    let ended = ended.unwrap_or_else(|error| panic!("{error:#}; it said:\n{text}"));
    assert!(!ended.success(), "{program} {flags:?}: {text}");
    text.lines().last().unwrap_or_default().to_owned()
}

/// An address that is taken as long as the listener lives.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (_listener, address) = taken();
    for (program, flags) in SERVICES {
        let folder = tempfile::tempdir().unwrap();
        let line = last_line(program, &[&["--listen", &address], flags].concat(), folder.path());
        assert!(line.contains(&format!("listening on {address}: is another program there?")), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = ["--listen", "127.0.0.1:0"];
    let questions = ["--data", "DATA", "--query-listen", &address];
    let line = last_line("ovomeshd", &[&ours[..], &questions].concat(), folder.path());
    assert!(line.contains(&format!("--query-listen {address}: is another program there?")), "{line}");
    let dicom = ["--spool", "DATA", "--dicom-listen", &address];
    let line = last_line("ovomesh-scanner-agent", &[&ours[..], &dicom].concat(), folder.path());
    assert!(line.contains(&format!("--dicom-listen {address}")), "{line}");
}

#[test]
fn a_model_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let ours = ["--listen", "127.0.0.1:0", "--models", &missing];
    let questions = ["--data", "DATA", "--query-listen", "127.0.0.1:0"];
    for (program, more) in [("ovomesh-inference", &[][..]), ("ovomeshd", &questions)] {
        let line = last_line(program, &[&ours[..], more].concat(), folder.path());
        assert!(line.contains(&missing) && line.contains("is --models right"), "{program}: {line}");
    }
}

#[test]
fn a_file_or_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a-file"), "no folder").unwrap();
    for (program, flags, cause) in [
        ("ovomesh-results-store", &["--data", "a-file"][..], "a-file"),
        ("ovomesh-scanner-agent", &["--spool", "a-file"], "a-file"),
        ("ovomesh-scanner-gateway", &["--lines", "no-lines"], "no-lines"),
        ("ovomesh-scanner-gateway", &["--preprocess", "nonsense"], "nonsense"),
        ("ovomesh-query", &["--ca", "no-ca"], "no-ca"),
        ("ovomesh-preprocess", &["--tls-cert", "no-cert", "--tls-key", "no-key"], "no-cert"),
        ("ovomeshd", &["--data", "a-file", "--query-listen", "127.0.0.1:0"], "a-file"),
    ] {
        let line = last_line(program, &[&["--listen", "127.0.0.1:0"], flags].concat(), folder.path());
        assert!(line.contains(cause), "{program} {flags:?}: {line}");
    }
}

#[tokio::test]
async fn damaged_data_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let ours = ["--listen", "127.0.0.1:0", "--query-listen", "127.0.0.1:0", "--data", &data];
    let mut command = programs().command("ovomeshd").unwrap();
    command.args(ours).args(programs().model_flags());
    let mut process = Process::start("ovomeshd", command, folder.path()).unwrap();
    process.ready().unwrap();
    let (mut session, _) = Session::open(&process.url()).await;
    for n in 0..2 {
        session.scan(scan(&format!("damaged-{n}"))).await;
        while !matches!(session.answer().await, Answer::Committed(_)) {}
    }
    process.kill().unwrap();
    let files = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let journal = files.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    // In the first row of two.
    let first = bytes.windows(9).position(|window| window == b"damaged-0").unwrap();
    bytes[first] ^= 0xff;
    std::fs::write(&journal, bytes).unwrap();
    let line = last_line("ovomeshd", &ours, folder.path());
    assert!(line.contains("is damaged from byte") && line.contains(&data), "{line}");
    let line =
        last_line("ovomesh-results-store", &["--listen", "127.0.0.1:0", "--data", &data], folder.path());
    assert!(line.contains("is damaged from byte") && line.contains(&data), "{line}");
}
