//! Rows that the store refused for good: kept in a folder, each under a name of its own, until a person has looked.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use ovomesh_api::ScanKey;
use ovomesh_api::pb::scan::v1::Row;
use prost::Message as _;

/// Rows of one scan at most. A scanner that counts from 1 again each day adds one a day.
const MOST: u32 = 10_000;

/// Keeps a row as `SITE_ID.row`, and why as `SITE_ID.reason`. Nothing is overwritten: another row of that name becomes
/// `SITE_ID-2.row`. The same row again, as after a restart, is kept once.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn keep(folder: &Path, key: &ScanKey, row: &Row, why: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let bytes = row.encode_to_vec();
    for n in 1..=MOST {
        let number = if n == 1 { String::new() } else { format!("-{n}") };
        let name = format!("{}_{}{number}", key.site, key.scan_id);
        let path = folder.join(format!("{name}.row"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&bytes)?;
                return fs::write(folder.join(format!("{name}.reason")), why);
            }
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Err(_) if fs::read(&path)? == bytes => return Ok(()),
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
        let row = |slot: &str| Row { scan_id: "7".into(), egg_id: slot.into(), ..Row::default() };
        for (egg, why) in [("monday", "a"), ("tuesday", "b"), ("monday", "a"), ("tuesday", "b")] {
            keep(folder.path(), &ScanKey::parse("north", "7").unwrap(), &row(egg), why).unwrap();
        }
        keep(folder.path(), &ScanKey::parse("south", "7").unwrap(), &row("monday"), "c").unwrap();
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("north_7.row"), read("north_7.reason")),
            (row("monday").encode_to_vec(), b"a".to_vec())
        );
        assert_eq!(
            (read("north_7-2.row"), read("north_7-2.reason")),
            (row("tuesday").encode_to_vec(), b"b".to_vec())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "south's 7 is another scan");
    }
}
