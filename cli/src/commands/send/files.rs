//! Which files there are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Most files of one command: their names are kept.
const MOST: usize = 1_000_000;

/// The files of `paths`, folders searched to their bottom, in groups by folder and in order of their names. Links to
/// folders are not followed, so that no search goes round in circles.
pub(crate) fn find(paths: &[PathBuf]) -> anyhow::Result<Vec<Vec<PathBuf>>> {
    let mut found = BTreeMap::new();
    let mut count = 0;
    for path in paths {
        let kind = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
        if kind.is_dir() {
            below(path, &mut found, &mut count)?;
        } else {
            add(path.clone(), &mut found, &mut count)?;
        }
    }
    anyhow::ensure!(count > 0, "these paths hold no files");
    Ok(found
        .into_values()
        .map(|mut files: Vec<PathBuf>| {
            files.sort_unstable();
            files.dedup();
            files
        })
        .collect())
}

type Found = BTreeMap<PathBuf, Vec<PathBuf>>;

fn below(folder: &Path, found: &mut Found, count: &mut usize) -> anyhow::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let reading = || format!("reading {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let kind = entry.file_type().with_context(reading)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != OsStr::new("DICOMDIR") {
                // A DICOMDIR is the index of a medium, and no image.
                add(entry.path(), found, count)?;
            }
        }
    }
    Ok(())
}

fn add(file: PathBuf, found: &mut Found, count: &mut usize) -> anyhow::Result<()> {
    *count += 1;
    anyhow::ensure!(*count <= MOST, "there are more than {MOST} files; send one folder at a time");
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    found.entry(folder).or_default().push(file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_to_their_bottom_and_files_stay_together_by_folder() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir_all(path("b/deep")).unwrap();
        for name in ["b/2.dcm", "b/1.dcm", "b/deep/3.dcm", "b/DICOMDIR", "4.dcm"] {
            std::fs::write(path(name), "").unwrap();
        }
        std::os::unix::fs::symlink(root.path(), path("b/round")).unwrap();
        let found = find(&[path("b"), path("4.dcm"), path("b/1.dcm")]).unwrap();
        assert_eq!(
            found,
            [
                vec![path("4.dcm")],
                vec![path("b/1.dcm"), path("b/2.dcm"), path("b/round")],
                vec![path("b/deep/3.dcm")]
            ]
        );
        let error = find(&[path("none.dcm")]).unwrap_err().to_string();
        assert!(error.contains("none.dcm"), "{error}");
    }
}
