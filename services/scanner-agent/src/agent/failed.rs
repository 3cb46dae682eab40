//! What needs a person: rows that the store refused for good, each under a name of its own, and images that belong to no
//! scan. Nothing is deleted, so the size of the folder is shown, and logged once it is large.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ovomesh_api::{ScanKey, thousands};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Rows of one scan at most. A scanner that counts from 1 again each day adds one a day.
const MOST: u32 = 10_000;
/// From this size on the folder is logged: some 30,000 rows, a day of a line that numbers its scans anew each day.
const LARGE_BYTES: u64 = 64 << 20;
/// How often the folder is measured: people delete from it.
const MEASURE_EVERY: Duration = Duration::from_secs(60);
/// How soon after a row was kept: thousands may be kept at once.
const MEASURE_SOON: Duration = Duration::from_secs(1);

/// The folder of what needs a person.
#[derive(Debug)]
pub struct Failed {
    folder: PathBuf,
    size: Mutex<Size>,
    changed: Notify,
}

/// How much the folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows, and series of images.
    pub count: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Failed {
    /// A folder that need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, size: Mutex::default(), changed: Notify::new() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How much it held when it was last measured.
    pub fn size(&self) -> Size {
        *self.size.lock()
    }

    /// Keeps an encoded row as `SITE_ID.row`, and why as `SITE_ID.reason`. Nothing is overwritten: another row of that name becomes
    /// `SITE_ID-2.row`. The same row again, as after a restart, is kept once.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep(&self, key: &ScanKey, row: &[u8], why: &str) -> io::Result<()> {
        self.changed.notify_one();
        keep(&self.folder, key, row, why)
    }

    /// Measures the folder, again and again.
    pub async fn measure(&self) -> Infallible {
        loop {
            let folder = self.folder.clone();
            match tokio::task::spawn_blocking(move || measure(&folder))
                .await
                .unwrap_or_else(|error| Err(error.into()))
            {
                Ok(now) => self.measured(now),
                Err(error) => {
                    tracing::warn!(folder = %self.folder.display(), %error, "failed/ cannot be measured");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(MEASURE_EVERY) => {}
                () = self.changed.notified() => tokio::time::sleep(MEASURE_SOON).await,
            }
        }
    }

    fn measured(&self, now: Size) {
        metrics::gauge!("ovomesh_agent_failed_count").set(now.count as f64);
        metrics::gauge!("ovomesh_agent_failed_bytes").set(now.bytes as f64);
        let before = std::mem::replace(&mut *self.size.lock(), now);
        if now.grew_large(before) {
            let (count, bytes) = (thousands(now.count), thousands(now.bytes));
            let folder = self.folder.display();
            tracing::warn!(%folder, count, bytes, "failed/ is large: look at the reasons in it, then delete from it");
        }
    }
}

impl Size {
    fn grew_large(self, before: Self) -> bool {
        before.bytes < LARGE_BYTES && self.bytes >= LARGE_BYTES
    }
}

fn measure(folder: &Path) -> io::Result<Size> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Size::default()),
        entries => entries?,
    };
    let mut size = Size::default();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(file) => size.bytes += file.len(),
            // It was deleted a moment ago.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        let is_reason = Path::new(&entry.file_name()).extension().is_some_and(|ending| ending == "reason");
        size.count += u64::from(!is_reason);
    }
    Ok(size)
}

fn keep(folder: &Path, key: &ScanKey, row: &[u8], why: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for n in 1..=MOST {
        let number = if n == 1 { String::new() } else { format!("-{n}") };
        let name = format!("{}_{}{number}", key.site, key.scan_id);
        let path = folder.join(format!("{name}.row"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(row)?;
                return fs::write(folder.join(format!("{name}.reason")), why);
            }
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Err(_) if fs::read(&path)? == row => return Ok(()),
            Err(_) => {}
        }
    }
    Err(io::Error::other(format!("{MOST} rows of this scan are there already")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refused_row_is_kept_once_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for (egg, why) in [("monday", "a"), ("tuesday", "b"), ("monday", "a"), ("tuesday", "b")] {
            keep(folder.path(), &ScanKey::parse("north", "7").unwrap(), egg.as_bytes(), why).unwrap();
        }
        keep(folder.path(), &ScanKey::parse("south", "7").unwrap(), b"monday", "c").unwrap();
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        assert_eq!((read("north_7.row"), read("north_7.reason")), (b"monday".to_vec(), b"a".to_vec()));
        assert_eq!((read("north_7-2.row"), read("north_7-2.reason")), (b"tuesday".to_vec(), b"b".to_vec()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "south's 7 is another scan");
        let bytes = ["monday", "tuesday", "monday"].map(|row| row.len() + 1);
        let size = Size { count: 3, bytes: bytes.iter().sum::<usize>() as u64 };
        assert_eq!(measure(folder.path()).unwrap(), size);
        assert_eq!(measure(&folder.path().join("nowhere")).unwrap(), Size::default());
    }

    #[test]
    fn a_folder_that_is_large_is_logged_once_and_again_when_it_was_emptied_meanwhile() {
        let sizes =
            [1, LARGE_BYTES, LARGE_BYTES + 1, 0, LARGE_BYTES + 2].map(|bytes| Size { count: 1, bytes });
        let logged = sizes.windows(2).map(|pair| pair[1].grew_large(pair[0]));
        assert_eq!(logged.collect::<Vec<_>>(), [true, false, false, true]);
        assert!(sizes[1].grew_large(Size::default()), "it was large when the agent started");
    }
}
