//! Every command that README.md, docs/ and the demo's hints tell a reader to type is run as it stands, in a network of its
//! own where the mesh listens on the documented ports.
//!
//! A new command is run without further ado: it must succeed and print something. [`lists`] says what cannot be run and why.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

mod blocks;
mod calls;
mod lists;
mod run;

use std::path::Path;
use std::process::Command;

use blocks::Block;
use ovomesh_testkit::{Fleet, Shape, repository};
use ovomesh_tests::{in_own_network, programs};
use run::Reader;

/// Set inside the network.
const INSIDE: &str = "OVOMESH_TEST_DOCUMENTED";

#[test]
fn every_command_of_readme_docs_and_demo_does_what_it_says() {
    if std::env::var_os(INSIDE).is_some() {
        return run_all(&all_blocks());
    }
    let itself = std::env::current_exe().unwrap();
    let name = "every_command_of_readme_docs_and_demo_does_what_it_says";
    let inside =
        in_own_network(&itself, &[]).args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output();
    let inside = inside.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(inside.status.success(), "{}{}", text(&inside.stdout), text(&inside.stderr));
}

/// The blocks of every page, and the demo's hints.
fn all_blocks() -> Vec<Block> {
    let root = repository();
    let mut pages = vec![root.join("README.md")];
    pages.extend(blocks::pages(&root.join("docs")));
    let of_page = |page: &Path| {
        let name = page.strip_prefix(&root).unwrap().display().to_string();
        blocks::of_page(&name, &std::fs::read_to_string(page).unwrap())
    };
    let mut all: Vec<Block> = pages.iter().flat_map(|page| of_page(page)).collect();
    let hints = "xtask/src/next_steps.txt";
    let text = std::fs::read_to_string(root.join(hints)).unwrap();
    all.push(Block { at: format!("{hints}:1"), language: String::new(), text });
    all
}

fn run_all(all: &[Block]) {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(folder.path(), &lines_yaml(all));
    let (starting, asking): (Vec<_>, Vec<_>) = all.iter().partition(|block| reader.starts_services(block));

    // The demo, and an agent beside it.
    let shape = Shape { fixed_ports: true, folder: folder.path().join("fleet"), ..Shape::default() };
    let mut fleet = Fleet::start(&programs(), shape).unwrap();
    reader.prints("ovomesh status", &["no agent on this machine (port 7690)"]);
    fleet.add_agent("scanner-agent-1").unwrap();
    reader.prints("ovomesh status", &["scanner-agent-1"]);
    reader.simulate();
    for block in asking {
        reader.read(block);
    }
    fleet.stop().unwrap();
    // What starts a mesh of its own needs the ports.
    for block in starting {
        reader.read(block);
    }
    reader.end();
}

/// The first example of docs/lines.md: what `lines.yaml` means in every command.
fn lines_yaml(all: &[Block]) -> String {
    let is_lines = |block: &&Block| block.language == "yaml" && block.at.starts_with("docs/lines.md");
    all.iter().find(is_lines).expect("docs/lines.md has an example").text.clone()
}

/// A shell command beside the programs.
fn shell(command: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder);
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}", folder.join("target/release").display()));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OVOMESH_")) {
        shell.env_remove(name);
    }
    shell
}
