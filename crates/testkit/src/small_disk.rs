//! A disk that can be filled.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What fills it.
const FILLER: &str = "filler";

/// A file system of its own in memory, of a few MiB; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one on a new folder. Needs the right to mount: root has it, also in a container that was given it.
    pub fn mount(folder: &Path, mib: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let size = format!("size={mib}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        let output = mount.context("running mount")?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "a small disk cannot be mounted here: {}", why.trim());
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Fills all but the last `free` bytes with a file.
    pub fn fill(&self, free: u64) -> anyhow::Result<()> {
        let path = self.folder.join(FILLER);
        let mut written = std::fs::metadata(&path).map_or(0, |file| file.len());
        while self.free()? > free {
            written += (self.free()? - free).min(1 << 20);
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
            // Not set_len: a hole takes no room.
            let more = vec![1; usize::try_from(written - file.metadata()?.len())?];
            std::io::Write::write_all(&mut &file, &more).context("filling a small disk")?;
        }
        Ok(())
    }

    /// Takes that file away.
    pub fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.folder.join(FILLER)).context("emptying a small disk")
    }

    fn free(&self) -> anyhow::Result<u64> {
        let disk = rustix::fs::statvfs(&self.folder).context("asking a small disk for its room")?;
        Ok(disk.f_bavail * disk.f_frsize)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that still has a file open there keeps it until it ends.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be unmounted", self.folder.display());
        }
    }
}
