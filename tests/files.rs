//! `ovomesh send`: real MR files that are no eggs are never given a confident sex, and what is no MR is told apart.

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
fn real_mr_files_that_are_no_eggs_are_never_given_a_sex() {
    let files: Vec<_> = real_files()
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten())
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.ends_with(".dcm") && (name.starts_with("emri_small") || name.starts_with("MR"))
        })
        .collect();
    assert!(files.len() >= 12, "the packages have a dozen MR files and more: {files:?}");
    let output = send(&files);
    let text = String::from_utf8_lossy(&output.stdout);
    let verdicts: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let with_call: Vec<_> = verdicts.iter().filter(|v| v.to_string().contains("UNDECIDED")).collect();
    assert!(
        !with_call.is_empty(),
        "at least the Enhanced MR series is a volume:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for verdict in &verdicts {
        let text = verdict.to_string();
        assert!(!text.contains("\"FEMALE\"") && !text.contains("\"MALE\""), "{text}");
        assert!(!text.contains("CALL_FEMALE") && !text.contains("CALL_MALE"), "{text}");
    }
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
