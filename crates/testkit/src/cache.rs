//! What the project needs and does not build itself: libtorch, Cassandra, a control plane, Python tools.
//!
//! Each is a folder `NAME-VERSION-KEY` in the user's cache (`$XDG_CACHE_HOME/ovomesh`, else `~/.cache/ovomesh`), so that
//! a second clone downloads nothing. KEY is a hash of all that it is made from. `.cache/NAME` in the checkout is a link
//! to it: a fixed path for cargo's configuration, editors, and tests.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::repository;

/// In each folder: a line for each of its files, as `sha256sum` writes them.
const SUMS: &str = ".sha256";

/// One folder of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// Its name, and that of the link in the checkout.
    pub name: &'a str,
    /// Its version, for people.
    pub version: &'a str,
    /// All that it is made from: when this changes, it is made again.
    pub made_from: &'a str,
}

impl Cached<'_> {
    /// The link in the checkout.
    pub fn link(&self) -> PathBuf {
        linked(self.name)
    }

    /// Whether [`Cached::provide`] would make nothing.
    pub fn is_there(&self) -> bool {
        self.folder().is_ok_and(|folder| verify(&folder).is_ok_and(|there| there))
    }

    /// Checks every file of the folder by its hash, makes the folder when it is missing or damaged, and links to it.
    /// `make` fills an empty folder. Only one process makes a folder; others wait for it.
    ///
    /// # Errors
    /// The cache cannot be written, or `make` fails.
    pub fn provide(&self, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
        let folder = self.folder()?;
        let cache = folder.parent().context("a cached folder has a parent")?;
        fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
        let lock = File::create(cache.join(format!("{}.lock", self.name)))?;
        lock.lock()?;
        match verify(&folder) {
            Ok(true) => {}
            Ok(false) => self.make(&folder, make)?,
            Err(damage) => {
                println!("{} in the cache is damaged ({damage:#}); making it again", self.name);
                self.make(&folder, make)?;
            }
        }
        self.point_at(&folder)?;
        Ok(self.link())
    }

    fn folder(&self) -> anyhow::Result<PathBuf> {
        let key = hex(&Sha256::digest(self.made_from))[..8].to_owned();
        Ok(root()?.join(format!("{}-{}-{key}", self.name, self.version)))
    }

    /// Makes the folder beside its place and moves it there whole: an interrupted run leaves nothing half done.
    fn make(&self, folder: &Path, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let making = folder.with_added_extension("partial");
        for old in [&making, folder] {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        fs::create_dir_all(&making)?;
        make(&making).with_context(|| format!("making {} {}", self.name, self.version))?;
        write_sums(&making)?;
        Ok(fs::rename(&making, folder)?)
    }

    fn point_at(&self, folder: &Path) -> anyhow::Result<()> {
        let link = self.link();
        if fs::read_link(&link).is_ok_and(|target| target == folder) {
            return Ok(());
        }
        let parent = link.parent().context("a link has a parent")?;
        fs::create_dir_all(parent)?;
        if link.is_dir() && !link.is_symlink() {
            // From before the cache was shared.
            fs::remove_dir_all(&link)?;
        }
        let new = parent.join(format!("{}.{}", self.name, std::process::id()));
        symlink(folder, &new)?;
        fs::rename(&new, &link).with_context(|| format!("linking {}", link.display()))
    }
}

/// Where the checkout links to a folder of the cache.
pub fn linked(name: &str) -> PathBuf {
    repository().join(".cache").join(name)
}

fn root() -> anyhow::Result<PathBuf> {
    let named = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    Ok(cache
        .context("neither XDG_CACHE_HOME nor HOME is set: there is no place for a cache")?
        .join("ovomesh"))
}

/// Whether the folder is there; an error when a file of it is missing or changed.
fn verify(folder: &Path) -> anyhow::Result<bool> {
    if !folder.exists() {
        return Ok(false);
    }
    let sums = File::open(folder.join(SUMS)).context("its list of files is missing")?;
    for line in BufReader::new(sums).lines() {
        let line = line?;
        let (sum, name) = line.split_once("  ").context("its list of files is damaged")?;
        let found = digest(&folder.join(name)).with_context(|| name.to_owned())?;
        anyhow::ensure!(found == sum, "{name} was changed");
    }
    Ok(true)
}

fn write_sums(folder: &Path) -> anyhow::Result<()> {
    let mut sums = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                writeln!(sums, "{}  {}", digest(&path)?, path.strip_prefix(folder)?.display())?;
            }
        }
    }
    let mut file = File::create(folder.join(SUMS))?;
    file.write_all(&sums)?;
    Ok(file.sync_all()?)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_whole_until_one_of_its_files_changes() {
        let folder = std::env::temp_dir().join(format!("ovomesh-cache-{}", std::process::id()));
        assert!(!verify(&folder).unwrap(), "not there");
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/a.so"), "code").unwrap();
        assert!(verify(&folder).is_err(), "no list of files: it was not made whole");
        write_sums(&folder).unwrap();
        assert!(verify(&folder).unwrap());
        fs::write(folder.join("lib/a.so"), "c0de").unwrap();
        let error = verify(&folder).unwrap_err();
        assert_eq!(error.to_string(), "lib/a.so was changed");
        fs::remove_file(folder.join("lib/a.so")).unwrap();
        assert!(format!("{:#}", verify(&folder).unwrap_err()).starts_with("lib/a.so: "));
        fs::remove_dir_all(folder).unwrap();
    }
}
