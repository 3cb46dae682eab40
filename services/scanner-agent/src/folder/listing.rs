//! What lies in a watched folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::DirEntry;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::ignore::Ignored;

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
/// Longest name of what is left alone that is shown, and how many of them.
const SHOWN: usize = 100;
/// A name that is no text is written as text when its entry has not changed for this long: its writer has left it.
const SETTLED: Duration = Duration::from_secs(2);

/// An entry: a file, or a folder with all files below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its files, from the watched folder on.
    pub files: Vec<PathBuf>,
    /// See [`print`].
    pub print: u64,
}

/// All entries by name, and what tells this folder from another one in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Entries.
    pub entries: BTreeMap<String, Entry>,
    /// Device and inode of the folder.
    pub folder: (u64, u64),
    /// Links, pipes and devices, which are left where they are.
    pub refused: BTreeSet<String>,
}

/// Reads the folder.
pub fn list(root: &Path, ignored: &Ignored) -> io::Result<Listing> {
    let meta = std::fs::metadata(root)?;
    let mut listing = Listing { folder: (meta.dev(), meta.ino()), ..Listing::default() };
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let Some(name) = name(root, &entry) else { continue };
        if ignored.has(&name) || name == DONE || name == FAILED {
            continue;
        }
        let kind = entry.file_type()?;
        if !kind.is_dir() && !kind.is_file() {
            if listing.refused.len() < SHOWN {
                listing.refused.insert(name.chars().take(SHOWN).collect());
            }
            continue;
        }
        if let Some(entry) = look(root, &name, kind.is_dir(), ignored) {
            listing.entries.insert(name, entry);
        }
        if listing.entries.len() >= ENTRIES {
            break;
        }
    }
    Ok(listing)
}

/// The name of an entry. One that is no text is renamed, with `%XX` for each byte that is none, so that its egg has an
/// answer too; nothing while that cannot be.
fn name(root: &Path, entry: &DirEntry) -> Option<String> {
    let raw = match entry.file_name().into_string() {
        Ok(name) => return Some(name),
        Err(raw) => raw,
    };
    let changed = entry.metadata().and_then(|meta| meta.modified()).ok()?;
    if changed.elapsed().is_ok_and(|since| since < SETTLED) {
        return None;
    }
    let mut name = String::new();
    for chunk in raw.as_bytes().utf8_chunks() {
        name.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| name.push_str(&format!("%{byte:02X}")));
    }
    let renamed = renameat_with(CWD, root.join(&raw), CWD, root.join(&name), RenameFlags::NOREPLACE);
    match renamed {
        Ok(()) => tracing::info!(folder = %root.display(), name, "renamed: its name was no UTF-8 text"),
        Err(error) => {
            tracing::debug!(folder = %root.display(), name, %error, "its name is no UTF-8 text, and it cannot be renamed");
        }
    }
    renamed.ok().map(|()| name)
}

/// Nothing when it went away meanwhile, or holds no file.
fn look(root: &Path, name: &str, is_folder: bool, ignored: &Ignored) -> Option<Entry> {
    let mut files = Vec::new();
    if is_folder {
        below(root, Path::new(name), &mut files, DEPTH, ignored);
        files.sort_unstable();
    } else {
        files.push(PathBuf::from(name));
    }
    let print = print(root, &files)?;
    (!files.is_empty()).then_some(Entry { is_folder, files, print })
}

/// The size of files together; those that are gone have none.
pub fn bytes(root: &Path, files: &[PathBuf]) -> u64 {
    let size = |file: &PathBuf| std::fs::symlink_metadata(root.join(file)).map_or(0, |meta| meta.len());
    files.iter().map(size).sum()
}

/// Changes with every file's name, size and time of change; nothing when one of them is gone.
pub fn print(root: &Path, files: &[PathBuf]) -> Option<u64> {
    let mut print = DefaultHasher::new();
    for file in files {
        let meta = std::fs::symlink_metadata(root.join(file)).ok()?;
        (file, meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(&mut print);
    }
    Some(print.finish())
}

fn below(root: &Path, folder: &Path, files: &mut Vec<PathBuf>, depth: usize, ignored: &Ignored) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    for entry in entries.flatten() {
        let (path, name) = (folder.join(entry.file_name()), entry.file_name());
        if ignored.has_within(&name.to_string_lossy()) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => below(root, &path, files, depth - 1, ignored),
            // A DICOMDIR is the index of a medium, and no image. One too many shows that there are too many.
            Ok(kind) if kind.is_file() && name != OsStr::new("DICOMDIR") && files.len() <= FILES => {
                files.push(path);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_listed_but_not_what_is_finished_or_still_written() {
        let root = tempfile::tempdir().unwrap();
        let ignored = Ignored::new(&[]).unwrap();
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
        let before = list(root.path(), &ignored).unwrap();
        let names: Vec<_> = before.entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.dcm", "egg"]);
        assert_eq!(before.entries["egg"].files, ["egg/2.dcm", "egg/deep/1.dcm"].map(PathBuf::from));
        assert_eq!(list(root.path(), &ignored).unwrap(), before);
        write("egg/deep/3.dcm");
        let after = list(root.path(), &ignored).unwrap();
        assert_ne!(after.entries["egg"].print, before.entries["egg"].print);
        assert_eq!(after.entries["a.dcm"], before.entries["a.dcm"]);
    }

    #[test]
    fn links_and_pipes_are_left_alone_and_named() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("1.dcm"), "x").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("linked")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("1.dcm"), root.path().join("link.dcm")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, root.path().join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::fs::create_dir(root.path().join("egg")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("1.dcm"), root.path().join("egg/1.dcm")).unwrap();
        let listing = list(root.path(), &Ignored::new(&[]).unwrap()).unwrap();
        assert!(listing.entries.is_empty(), "{listing:?}");
        assert_eq!(Vec::from_iter(&listing.refused), ["link.dcm", "linked", "pipe"]);
    }

    #[test]
    fn a_name_that_is_no_text_is_written_as_text_once_its_writer_has_left() {
        let root = tempfile::tempdir().unwrap();
        let ignored = Ignored::new(&[]).unwrap();
        let raw = root.path().join(OsStr::from_bytes(b"\xFCber-\xE4.dcm"));
        std::fs::write(&raw, "x").unwrap();
        assert!(list(root.path(), &ignored).unwrap().entries.is_empty(), "it has just been written");
        let before = std::time::SystemTime::now() - 2 * SETTLED;
        std::fs::File::options().append(true).open(&raw).unwrap().set_modified(before).unwrap();
        let listing = list(root.path(), &ignored).unwrap();
        assert_eq!(Vec::from_iter(listing.entries.keys()), ["%FCber-%E4.dcm"]);
        assert!(root.path().join("%FCber-%E4.dcm").exists() && !raw.exists());
    }
}
