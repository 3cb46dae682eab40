//! What a terminal, a narrow one, a dumb one and a pipe get to see: the program itself, on a real terminal.

#![allow(clippy::unwrap_used)] // helpers of tests fail them by panicking

mod common;

use common::gateway::{Act, Gateway};
use common::query::Query;
use ovomesh_api::pb::scan::v1::Call;

const OVOMESH: &str = env!("CARGO_BIN_EXE_ovomesh");
const NARROW: usize = 60;

/// What the program prints on a terminal of this kind that is [`NARROW`].
async fn on_terminal(term: &str, words: &str) -> String {
    // `script` is on every Debian; it gives the program a terminal of its own.
    let inside = format!("stty cols {NARROW} rows 24; exec {OVOMESH} {words}");
    let mut script = tokio::process::Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &inside, "/dev/null"])
        .env("TERM", term)
        // Under it clap colours help on any terminal, and the tests of other people run so.
        .env("CI", "true")
        .env_remove("NO_COLOR");
    let output = script.stdin(std::process::Stdio::null()).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.success(), "{words}: {text}");
    text
}

/// What bash prints of a pipeline, and the exit code of its first part.
async fn piped(pipeline: &str) -> (String, String) {
    let command = format!("{pipeline}; echo \"code ${{PIPESTATUS[0]}}\"");
    let output = tokio::process::Command::new("bash").args(["-c", &command]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// As on the screen: escape codes take no room.
fn columns(line: &str) -> usize {
    let mut letters = line.chars();
    let mut count = 0;
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => drop(letters.by_ref().find(char::is_ascii_alphabetic)),
            _ => count += 1,
        }
    }
    count
}

#[tokio::test]
async fn sixty_columns_are_enough_and_a_dumb_terminal_gets_plain_text() {
    let query = Query::start().await;
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let (query, gateway) = (&query.url, &gateway.url);
    let load = "--scanners 2 --rate 40 --seconds 1.1 --distinct 4";
    for (words, shown, coloured) in [
        (
            format!("--query {query} list --site north --line 1 --limit 3"),
            &["CALL", "scan-0", "egg-2"][..],
            true,
        ),
        (
            format!("--query {query} show scan-7"),
            &["scan scan-7", "between the services", "P(female) 0.500"],
            true,
        ),
        (format!("--query {query} lines"), &["SITE", "line-8"], false),
        (
            format!("--gateway {gateway} simulate {load}"),
            &["verdicts/s", "distinct eggs", "until committed"],
            false,
        ),
    ] {
        for (term, is_plain) in [("xterm-256color", false), ("dumb", true)] {
            let text = on_terminal(term, &words).await;
            // A bar is drawn over again and again; what it leaves is looked at.
            let lines = || text.lines().filter(|line| !line.contains("making phantoms ["));
            for line in lines() {
                assert!(columns(line) <= NARROW, "{words} on {term}: {line:?}");
            }
            for text in shown {
                assert!(
                    lines().any(|line| line.contains(text)),
                    "{words} on {term}: {text} is not in {:?}",
                    lines().collect::<Vec<_>>()
                );
            }
            assert!(!is_plain || !text.contains('\x1b'), "{words} on {term}: {text:?}");
            assert!(is_plain || !coloured || text.contains('\x1b'), "{words} on {term}: {text:?}");
        }
    }
    for words in ["--help", "list --help"] {
        assert!(!on_terminal("dumb", words).await.contains('\x1b'), "{words}");
    }
}

#[tokio::test]
async fn what_is_no_terminal_gets_whole_lines_without_escape_codes() {
    let query = Query::start().await;
    let (text, errors) =
        piped(&format!("{OVOMESH} --query {} list --site north --line 1 --limit 3 | cat", query.url)).await;
    assert_eq!((text.lines().count(), errors.as_str()), (6, ""), "{text}");
    assert!(!text.contains('\x1b') && text.contains("code 0"), "{text:?}");
    assert!(text.lines().nth(1).is_some_and(|row| row.contains("egg-0") && row.contains("scan-0")), "{text}");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_every_command_quietly() {
    let query = Query::start().await;
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let (query, gateway) = (&query.url, &gateway.url);
    let list = "list --site north --line 1 --limit 2500";
    let folder = tempfile::tempdir().unwrap();
    for words in [
        format!("--query {query} {list}"),
        format!("--query {query} --output json {list}"),
        format!("--query {query} watch"),
        format!("--query {query} lines"),
        format!("--gateway {gateway} simulate --scanners 2 --rate 40 --seconds 2.1 --distinct 4"),
        format!("phantom --count 2 --dicom {}", folder.path().display()),
        "--help".to_owned(),
    ] {
        let (text, errors) = piped(&format!("{OVOMESH} {words} | head -n 1")).await;
        assert!(text.contains("code 0"), "{words}: {text}{errors}");
        let errors: Vec<_> = errors.lines().filter(|line| !line.starts_with("making phantoms")).collect();
        assert!(errors.is_empty(), "{words}: {errors:?}");
    }
    // Standard error may be what nobody reads.
    let (text, _) = piped(&format!("{OVOMESH} --query {query} get egg-8 2>&1 >/dev/null | true")).await;
    assert!(text.contains("code 3"), "{text}");
    let (text, _) = piped(&format!(
        "{OVOMESH} --query {query} --output json list --site north --line 1 --limit 3 2>&1 >/dev/null | true"
    ))
    .await;
    assert!(text.contains("code 0"), "{text}");
}
