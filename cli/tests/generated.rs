//! Completions and manual pages.

#![allow(clippy::unwrap_used)] // helpers of tests fail them by panicking

mod common;

use std::process::Command;

use common::ovomesh;

#[tokio::test]
async fn bash_completes_commands_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ovomesh("completions bash").await;
    assert!(ran.succeeded(), "{:?}", ran.result);
    let script = folder.path().join("ovomesh.bash");
    std::fs::write(&script, &ran.printed).unwrap();
    let complete = |words: &str, at: usize| {
        let last = words.split(' ').next_back().unwrap_or_default();
        let bash = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={at}; _ovomesh ovomesh '{last}' ''; echo ${{COMPREPLY[@]}}",
            script.display()
        );
        let output = Command::new("bash").args(["-c", &bash]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("ovomesh li", 1), "list lines");
    assert_eq!(complete("ovomesh list --sit", 2), "--site");
}

#[tokio::test]
async fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = ovomesh(&format!("completions {shell}")).await;
        assert!(ran.succeeded() && ran.printed.contains("simulate"), "{shell}: {:?}", ran.result);
    }
}

#[tokio::test]
async fn there_is_a_manual_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    let ran = ovomesh(&format!("man {}", pages.display())).await;
    assert!(ran.succeeded(), "{:?}", ran.result);
    let read =
        |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for command in ovomesh_cli::command().get_subcommands() {
        assert!(read(&format!("ovomesh-{}.1", command.get_name())).contains(".TH"), "{}", command.get_name());
    }
    assert!(read("ovomesh.1").contains("not found"), "the exit codes are there");
    assert!(read("ovomesh-list.1").contains("site"), "so are the flags");
}
