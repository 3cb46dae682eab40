//! What lies in a watched folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Folders of what is finished, within the watched one.
pub const DONE: &str = "done";
/// See [`DONE`].
pub const FAILED: &str = "failed";

/// Most entries of the folder that are looked at in one pass: half a minute of the fastest line, 50 times over. Others
/// wait for their turn.
const ENTRIES: usize = 10_000;
/// Most files of one entry that is a folder: several echoes of the deepest volume.
pub const FILES: usize = 4_096;
/// Folders within an entry.
const DEPTH: usize = 8;
/// Ends of names that programs give to what they are still writing.
const UNFINISHED: [&str; 6] = [".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload"];

/// An entry: a file, or a folder with all files below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its files, from the watched folder on.
    pub files: Vec<PathBuf>,
    /// Changes with every file's name, size and time of change.
    pub print: u64,
}

/// All entries by name, and what tells this folder from another one in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Entries.
    pub entries: BTreeMap<String, Entry>,
    /// Device and inode of the folder.
    pub folder: (u64, u64),
}

/// Reads the folder.
pub fn list(root: &Path) -> io::Result<Listing> {
    let meta = std::fs::metadata(root)?;
    let mut listing = Listing { folder: (meta.dev(), meta.ino()), ..Listing::default() };
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        // Names that are no text cannot be told to anybody; they stay where they are.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if is_unfinished(&name) || name == DONE || name == FAILED {
            continue;
        }
        if let Some(entry) = look(root, &name, entry.file_type()?.is_dir()) {
            listing.entries.insert(name, entry);
        }
        if listing.entries.len() >= ENTRIES {
            break;
        }
    }
    Ok(listing)
}

/// Nothing when it went away meanwhile, or holds no file.
fn look(root: &Path, name: &str, is_folder: bool) -> Option<Entry> {
    let mut files = Vec::new();
    if is_folder {
        below(root, Path::new(name), &mut files, DEPTH);
        files.sort_unstable();
    } else {
        files.push(PathBuf::from(name));
    }
    let mut print = DefaultHasher::new();
    for file in &files {
        let meta = std::fs::metadata(root.join(file)).ok()?;
        (file, meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(&mut print);
    }
    (!files.is_empty()).then(|| Entry { is_folder, files, print: print.finish() })
}

fn below(root: &Path, folder: &Path, files: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    for entry in entries.flatten() {
        let (path, name) = (folder.join(entry.file_name()), entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => below(root, &path, files, depth - 1),
            // A DICOMDIR is the index of a medium, and no image. One too many shows that there are too many.
            Ok(kind) if kind.is_file() && name != OsStr::new("DICOMDIR") && files.len() <= FILES => {
                files.push(path);
            }
            _ => {}
        }
    }
}

/// Whether a name says that its file is still being written. Hidden files count: rsync and others write such.
fn is_unfinished(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with('.') || name.ends_with('~') || UNFINISHED.iter().any(|end| lower.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_listed_but_not_what_is_finished_or_still_written() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in ["a.dcm", "egg/2.dcm", "egg/deep/1.dcm", "egg/DICOMDIR", "done/b.dcm", "failed/c.dcm"] {
            write(name);
        }
        for name in [".a.dcm.Xy12", "b.dcm.part", "c.dcm.TMP", "d.dcm~"] {
            write(name);
        }
        std::fs::create_dir(root.path().join("empty")).unwrap();
        let before = list(root.path()).unwrap();
        let names: Vec<_> = before.entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.dcm", "egg"]);
        assert_eq!(before.entries["egg"].files, ["egg/2.dcm", "egg/deep/1.dcm"].map(PathBuf::from));
        assert_eq!(list(root.path()).unwrap(), before);
        write("egg/deep/3.dcm");
        let after = list(root.path()).unwrap();
        assert_ne!(after.entries["egg"].print, before.entries["egg"].print);
        assert_eq!(after.entries["a.dcm"], before.entries["a.dcm"]);
    }
}
