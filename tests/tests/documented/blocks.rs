//! The fenced blocks of a page, and the commands of a block.

use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it begins, for people: `docs/edge.md:33`.
    pub at: String,
    /// What stands behind the opening fence; commands have nothing there.
    pub language: String,
    pub text: String,
}

/// The blocks of a page.
pub fn of_page(name: &str, page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(page.lines()) {
        match (line.trim_start().strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                let (at, language) = (format!("{name}:{number}"), language.trim().to_owned());
                open = Some(Block { at, language, text: String::new() });
            }
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name}: a block is not closed");
    blocks
}

/// The commands of a block: a line each, but for lines that end in `\` and here-documents.
pub fn commands(block: &Block) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut lines = block.text.lines();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let mut command = line.to_owned();
        while command.ends_with('\\') {
            command = format!("{command}\n{}", lines.next().unwrap_or_default());
        }
        if let Some((_, end)) = line.split_once("<<") {
            for line in lines.by_ref() {
                command = format!("{command}\n{line}");
                if line == end.trim() {
                    break;
                }
            }
        }
        commands.push(command);
    }
    commands
}

/// All pages below a folder.
pub fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(self::pages(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

#[test]
fn blocks_and_commands_are_found() {
    let page = "text\n```\na b \\\n  c\n# remark\nd <<END\ne\nEND\n\nf  # why\n```\n```yaml\nx: 1\n```\n";
    let blocks = of_page("p", page);
    assert_eq!(
        blocks.iter().map(|b| (b.at.as_str(), b.language.as_str())).collect::<Vec<_>>(),
        [("p:2", ""), ("p:12", "yaml")]
    );
    assert_eq!(commands(&blocks[0]), ["a b \\\n  c", "d <<END\ne\nEND", "f  # why"]);
}
