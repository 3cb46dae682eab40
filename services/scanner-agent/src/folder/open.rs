//! Files of a folder in which others drop what they like. Links and pipes are among it, by mistake or by malice: nothing
//! here follows a link out of the folder, waits for a writer, or reads more than it was asked to.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

/// Opens a regular file below `root`. No part of its path may be a link.
///
/// # Errors
/// It is gone, a link, or no regular file.
fn open(root: &Path, file: &Path) -> io::Result<File> {
    let mut folder = File::open(root)?;
    if let Some(parent) = file.parent() {
        for part in parent.components() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = openat(&folder, part.as_os_str(), flags, Mode::empty())?.into();
        }
    }
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // A pipe without a writer is opened at once, and then refused.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = File::from(openat(&folder, name, flags, Mode::empty())?);
    if !opened.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(opened)
}

/// Reads a file below `root`; nothing when it has more than `most` bytes.
///
/// # Errors
/// Those of [`open`], and of reading.
pub fn read(root: &Path, file: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    open(root, file)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_below_the_folder_are_read_and_no_more_of_them_than_asked() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, elsewhere) = (root.path(), elsewhere.path());
        std::fs::create_dir(root.join("egg")).unwrap();
        std::fs::write(root.join("egg/1.dcm"), "slice").unwrap();
        std::fs::write(elsewhere.join("secret"), "secret").unwrap();
        symlink(elsewhere.join("secret"), root.join("link")).unwrap();
        symlink(elsewhere, root.join("linked")).unwrap();
        symlink("/dev/zero", root.join("zero")).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, root.join("pipe"), FileType::Fifo, mode, 0).unwrap();
        let read = |file: &str, most| read(root, Path::new(file), most);
        assert_eq!(read("egg/1.dcm", 5).unwrap().as_deref(), Some(&b"slice"[..]));
        assert_eq!(read("egg/1.dcm", 4).unwrap(), None);
        for file in ["link", "linked/secret", "zero", "pipe", "egg", "../x", "egg/2.dcm"] {
            assert!(read(file, 100).is_err(), "{file}");
        }
    }
}
