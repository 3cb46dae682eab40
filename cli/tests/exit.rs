//! Exit codes of the program itself, as a script sees them.

#![allow(clippy::unwrap_used)] // helpers of tests fail them by panicking

mod common;

use common::gateway::{Act, Gateway};
use common::query::Query;
use ovomesh_api::pb::scan::v1::Call;

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The exit code of the program with these words, and what it wrote to standard error.
async fn exit(words: &str) -> (i32, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ovomesh"));
    let output = command.args(words.split_whitespace()).output().await.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_script_can_tell_not_found_from_no_server_and_from_wrong_flags() {
    let query = Query::start().await;
    let gateway = Gateway::start(|_| Act::Decide(Call::Female)).await;
    let (query, gateway) = (&query.url, &gateway.url);
    for (words, code, said) in [
        (format!("get egg-7 --query {query}"), 0, ""),
        (format!("get egg-8 --query {query}"), 3, "egg-8"),
        (format!("show scan-8 --query {query}"), 3, "scan-8"),
        (format!("get egg-7 --query {NOWHERE}"), 4, "cannot reach http://127.0.0.1:9"),
        (format!("show scan-7 --query {gateway}"), 4, "does not offer this"),
        (format!("list --site north --line 1 --query {NOWHERE}"), 4, "cannot reach"),
        (format!("watch --query {NOWHERE}"), 4, "cannot reach"),
        (format!("simulate --quiet --distinct 1 --gateway {NOWHERE}"), 4, "cannot reach"),
        (
            format!("send {} --gateway {NOWHERE}", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
            4,
            "cannot reach",
        ),
        (format!("send none.dcm --gateway {gateway}"), 1, "none.dcm"),
        (format!("list --site north --line 1 --from now --to -1h --query {query}"), 2, "is not before"),
        (format!("list --site south --line 1 --query {query}"), 2, "did not accept"),
        ("simulate --rate 1000000 --seconds 1000".into(), 2, "too many"),
        ("simulate --rate nothing".into(), 2, "--rate"),
        ("nonsense".into(), 2, "nonsense"),
    ] {
        let (found, errors) = exit(&words).await;
        assert!(found == code && errors.contains(said), "{words}: {found} is not {code}: {errors}");
    }
}

#[tokio::test]
async fn the_help_names_every_exit_code_that_the_documentation_names() {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ovomesh"));
    let help = String::from_utf8(command.arg("--help").output().await.unwrap().stdout).unwrap();
    let (_, codes) = help.split_once("Exit codes:").expect("they are there");
    let page = include_str!("../../docs/errors.md");
    let (_, table) = page.split_once("## Exit codes of `ovomesh`").expect("a section");
    for code in 0..=4 {
        assert!(
            codes.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))),
            "{code}: {help}"
        );
        assert!(table.lines().any(|line| line.starts_with(&format!("| {code} |"))), "{code}: {table}");
    }
}
