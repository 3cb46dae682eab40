//! How something leaves a watched folder: what is told of it is written beside its new place first, then it is moved. Killed
//! in between, it is found again in the folder, is the same scan, and goes to the same place.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::listing::{DONE, FAILED};
use super::open;

/// How many things of one name there can be.
const SAME_NAME: u32 = 10_000;

/// Longest name that is kept whole: file systems take 255 bytes, of which the number, `.verdict.json` and what a file is
/// called while it is written need some.
const LONGEST_NAME: usize = 220;
/// Longest end, such as `dcm`, that a name which is cut keeps.
const LONGEST_END: usize = 16;
/// Most that a verdict or reason may have to be known again: that of a folder with its 4,096 files.
const SIDECAR_BYTES: u64 = 16 << 20;

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Sidecar {
    /// The verdict, or one for each series of a folder.
    Verdict(Value),
    /// Why there is none.
    Reason(String),
}

impl Sidecar {
    fn folder(&self) -> &'static str {
        match self {
            Self::Verdict(_) => DONE,
            Self::Reason(_) => FAILED,
        }
    }

    fn suffix(&self) -> &'static str {
        match self {
            Self::Verdict(_) => VERDICT,
            Self::Reason(_) => REASON,
        }
    }
}

const VERDICT: &str = ".verdict.json";
const REASON: &str = ".reason.txt";

/// Moves entries of the folder to where they belong, with what is told of them beside each. Of an entry that is gone
/// already only that is left. What lies there under the same name stays: the new one gets a number.
pub fn deliver(root: &Path, names: &[String], sidecar: &Sidecar) -> io::Result<()> {
    let folder = root.join(sidecar.folder());
    make(&folder)?;
    let text = match sidecar {
        Sidecar::Verdict(value) => format!("{value:#}\n"),
        Sidecar::Reason(why) => format!("{why}\n"),
    };
    // All are told before the first is moved: killed in between, the rest of a series would be no scan any more.
    let mut places = Vec::new();
    for name in names {
        let (place, beside) = free(&folder, name, sidecar.suffix(), &text)?;
        write(&folder, &beside, text.as_bytes())?;
        places.push(place);
    }
    sync(&folder);
    for (name, place) in names.iter().zip(places) {
        rename(root, name, &place)?;
    }
    sync(&folder);
    sync(root);
    Ok(())
}

/// Makes a folder of what is finished. A link in its place would have files written elsewhere.
fn make(folder: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if std::fs::symlink_metadata(folder)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is a link or a file; it must be a folder", folder.display())))
}

/// Whether the verdict of a file lies there, and only it has not been moved yet.
pub fn is_decided(root: &Path, name: &str, sha256: &str) -> bool {
    decided(root, name, sha256).is_some()
}

/// Moves such a file.
pub fn finish(root: &Path, name: &str, sha256: &str) -> io::Result<()> {
    decided(root, name, sha256).map_or(Ok(()), |place| rename(root, name, &place))
}

fn decided(root: &Path, name: &str, sha256: &str) -> Option<PathBuf> {
    for number in 1..=SAME_NAME {
        let name = numbered(name, number);
        let verdict = Path::new(DONE).join(format!("{name}{VERDICT}"));
        let verdict = String::from_utf8(open::read(root, &verdict, SIDECAR_BYTES).ok()??).ok()?;
        let place = root.join(DONE).join(name);
        if !exists(&place) && verdict.contains(sha256) {
            return Some(place);
        }
    }
    None
}

fn rename(root: &Path, name: &str, place: &Path) -> io::Result<()> {
    match std::fs::rename(root.join(name), place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && root.exists() => {
            tracing::warn!(folder = %root.display(), name, "was taken away while it was decided");
            Ok(())
        }
        moved => moved,
    }
}

/// The first place that is free, and the file beside it: one that says the same was written before the agent was killed.
fn free(folder: &Path, name: &str, suffix: &str, text: &str) -> io::Result<(PathBuf, PathBuf)> {
    for number in 1..=SAME_NAME {
        let name = numbered(name, number);
        let (place, beside) = (folder.join(&name), folder.join(format!("{name}{suffix}")));
        let there = |name: &str| open::read(folder, Path::new(name), SIDECAR_BYTES).ok().flatten();
        let is_own = || there(&format!("{name}{suffix}")).is_some_and(|there| there == text.as_bytes());
        if !exists(&place) && (!exists(&beside) || is_own()) {
            return Ok((place, beside));
        }
    }
    let why = format!("{} holds {SAME_NAME} things named {name}; clear it", folder.display());
    Err(io::Error::other(why))
}

/// Whether something has this name, be it a link to nothing.
fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// `egg.dcm`, `egg-2.dcm`, `egg-3.dcm`. A name that leaves no room for what stands beside it is cut, and keeps a
/// checksum of what it was.
fn numbered(name: &str, number: u32) -> String {
    let (mut stem, end) = match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && end.len() <= LONGEST_END => (stem, format!(".{end}")),
        _ => (name, String::new()),
    };
    let mut cut = String::new();
    if name.len() > LONGEST_NAME {
        cut = format!("~{:08x}", crc32c::crc32c(name.as_bytes()));
        let room = LONGEST_NAME - cut.len() - end.len();
        stem = &stem[..stem.floor_char_boundary(room)];
    }
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    format!("{stem}{cut}{number}{end}")
}

/// Whole or not at all.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let making = folder.join(format!(".{name}.tmp"));
    // Left by an agent that was killed, or laid here as a link to what is then overwritten.
    match std::fs::remove_file(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&making)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&making, path)
}

/// Network shares may refuse to sync a folder; they keep what a rename did by themselves.
fn sync(folder: &Path) {
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(folder = %folder.display(), %error, "not synced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(folder: PathBuf) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn things_of_one_name_get_numbers_and_nothing_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        for id in 0..3 {
            std::fs::write(root.path().join("egg.dcm"), id.to_string()).unwrap();
            deliver(root.path(), &["egg.dcm".into()], &Sidecar::Verdict(json!({ "scan_id": id }))).unwrap();
        }
        let all = ["egg-2.dcm", "egg-2.dcm.verdict.json", "egg-3.dcm", "egg-3.dcm.verdict.json", "egg.dcm"];
        assert_eq!(names(root.path().join(DONE))[..5], all);
        assert_eq!(std::fs::read_to_string(root.path().join("done/egg-3.dcm")).unwrap(), "2");
        assert!(
            std::fs::read_to_string(root.path().join("done/egg-3.dcm.verdict.json")).unwrap().contains('2')
        );
    }

    #[test]
    fn killed_between_the_verdict_and_the_move_it_goes_to_the_same_place() {
        let root = tempfile::tempdir().unwrap();
        let sidecar = Sidecar::Verdict(json!({ "scan_id": "a" }));
        std::fs::create_dir_all(root.path().join("egg")).unwrap();
        deliver(root.path(), &["egg".into()], &sidecar).unwrap();
        // As if the move had not happened.
        std::fs::rename(root.path().join("done/egg"), root.path().join("egg")).unwrap();
        std::fs::write(root.path().join("done/.egg.verdict.json.tmp"), "half").unwrap();
        deliver(root.path(), &["egg".into()], &sidecar).unwrap();
        assert_eq!(names(root.path().join(DONE)), ["egg", "egg.verdict.json"]);
        assert_eq!(names(root.path().to_owned()), ["done"]);
    }

    #[test]
    fn killed_between_the_moves_of_a_series_the_others_are_known_to_be_decided() {
        let root = tempfile::tempdir().unwrap();
        let names = ["1.dcm", "2.dcm"].map(str::to_owned);
        for name in &names {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        deliver(root.path(), &names, &Sidecar::Verdict(json!({ "sha256": ["aa", "bb"] }))).unwrap();
        std::fs::rename(root.path().join("done/2.dcm"), root.path().join("2.dcm")).unwrap();
        assert!(is_decided(root.path(), "2.dcm", "bb"));
        assert!(!is_decided(root.path(), "2.dcm", "cc"), "another file of that name");
        assert!(!is_decided(root.path(), "1.dcm", "aa"), "it is there; this is a repeat");
        finish(root.path(), "2.dcm", "bb").unwrap();
        assert!(root.path().join("done/2.dcm").exists());
    }

    #[test]
    fn a_reason_is_one_line_beside_what_failed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("x.dcm"), "x").unwrap();
        deliver(root.path(), &["x.dcm".into()], &Sidecar::Reason("it is no image".into())).unwrap();
        assert_eq!(names(root.path().join(FAILED)), ["x.dcm", "x.dcm.reason.txt"]);
        let reason = std::fs::read_to_string(root.path().join("failed/x.dcm.reason.txt")).unwrap();
        assert_eq!(reason, "it is no image\n");
    }

    #[test]
    fn a_name_of_any_length_is_moved_and_found_again() {
        let root = tempfile::tempdir().unwrap();
        for name in ["e".repeat(255), format!("{}.dcm", "ä".repeat(125)), format!("{}.dcm", "e".repeat(251))]
        {
            std::fs::write(root.path().join(&name), "x").unwrap();
            for _ in 0..2 {
                std::fs::write(root.path().join(&name), "x").unwrap();
                deliver(
                    root.path(),
                    std::slice::from_ref(&name),
                    &Sidecar::Verdict(json!({ "sha256": ["aa"] })),
                )
                .unwrap();
            }
            let place = decided(root.path(), &name, "aa");
            assert_eq!(place, None, "both were moved");
            let moved = root.path().join(DONE).join(numbered(&name, 2));
            std::fs::rename(&moved, root.path().join(&name)).unwrap();
            assert_eq!(decided(root.path(), &name, "aa"), Some(moved));
            std::fs::remove_file(root.path().join(&name)).unwrap();
        }
        assert_ne!(numbered(&"e".repeat(254), 1), numbered(&"e".repeat(255), 1));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = elsewhere.path().join("file");
        std::fs::write(&file, "keep").unwrap();
        std::fs::write(root.path().join("egg.dcm"), "x").unwrap();
        let sidecar = Sidecar::Reason("it is no image".into());
        let deliver = || deliver(root.path(), &["egg.dcm".into()], &sidecar);
        let failed = root.path().join(FAILED);
        std::os::unix::fs::symlink(elsewhere.path(), &failed).unwrap();
        assert!(deliver().unwrap_err().to_string().contains("must be a folder"));
        std::fs::remove_file(&failed).unwrap();
        std::fs::create_dir(&failed).unwrap();
        for name in [".egg.dcm.reason.txt.tmp", "egg.dcm.reason.txt", "egg.dcm"] {
            std::os::unix::fs::symlink(&file, failed.join(name)).unwrap();
        }
        deliver().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep");
        assert_eq!(std::fs::read_to_string(failed.join("egg-2.dcm")).unwrap(), "x");
    }
}
