//! Names that are no scans: what file servers and desktops keep on their shares, and files that are still being written.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// What systems keep, at any depth. A deleted egg in a recycle bin is not scanned again.
const SYSTEM: [&str; 18] = [
    "._*",
    ".DS_Store",
    ".Spotlight-V100",
    ".Trash*",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "@eaDir",
    "@Recently-Snapshot",
    "@Recycle",
    "@tmp",
    "__MACOSX",
    "desktop.ini",
    "lost+found",
    "Network Trash Folder",
    "System Volume Information",
    "Temporary Items",
    "Thumbs.db",
];
/// Snapshots of file servers, whose names differ from the others' by nothing that a pattern could tell.
const SNAPSHOTS: [&str; 2] = ["~snapshot", ".snapshot"];
/// Names that programs give to what they are still writing. Hidden files count: rsync and others write such.
const UNFINISHED: [&str; 17] = [
    ".*",
    "*~",
    "~$*",
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.aria2",
    "*.!sync",
    "*.!ut",
    "*.bts",
    "*.swp",
    "*.lftp-pget-status",
];

/// Which names are left alone. Case does not matter.
#[derive(Debug)]
pub struct Ignored {
    anywhere: GlobSet,
    unfinished: GlobSet,
}

impl Ignored {
    /// The built-in names and `more`.
    ///
    /// # Errors
    /// One of `more` is no pattern.
    pub fn new(more: &[String]) -> anyhow::Result<Self> {
        let more = more.iter().map(String::as_str);
        Ok(Self {
            anywhere: set(SYSTEM.into_iter().chain(SNAPSHOTS).chain(more))?,
            unfinished: set(UNFINISHED.into_iter())?,
        })
    }

    /// Whether an entry of the watched folder is left alone.
    pub fn has(&self, name: &str) -> bool {
        self.anywhere.is_match(name) || self.unfinished.is_match(name)
    }

    /// Whether something within an entry is. What is still being written there counts: its entry is not whole.
    pub fn has_within(&self, name: &str) -> bool {
        self.anywhere.is_match(name)
    }
}

fn set<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).case_insensitive(true).backslash_escape(true).build()?);
    }
    set.build()
}

/// Checks a pattern of the command line.
///
/// # Errors
/// It is none.
pub fn pattern(text: &str) -> Result<String, String> {
    set(std::iter::once(text)).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_keep_and_what_is_still_written_is_left_alone() {
        let ignored = Ignored::new(&["*.bak".to_owned()]).unwrap();
        for name in ["#recycle", "@EADIR", "$Recycle.Bin", "__MACOSX", "~snapshot", "._egg.dcm", "egg.BAK"] {
            assert!(ignored.has(name) && ignored.has_within(name), "{name}");
        }
        for name in
            [".egg.dcm.Xy12", "egg.dcm.part", "egg.TMP", "egg.dcm~", "~$egg", "egg.!sync", "x.crdownload"]
        {
            assert!(ignored.has(name) && !ignored.has_within(name), "{name}");
        }
        for name in ["egg.dcm", "egg-1", "1.2.840", "recycle", "EGG 4 (conflicted copy).dcm", "#4", "@4"] {
            assert!(!ignored.has(name), "{name}");
        }
        assert!(pattern("a[").unwrap_err().contains("a["));
    }
}
