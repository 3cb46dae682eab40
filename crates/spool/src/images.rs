//! Images of series that are not whole yet, beside the two logs: one file for each series, whose records are the images.
//! Reading only; the agent writes them with [`frame::around`].

use std::io;
use std::path::{Path, PathBuf};

use crate::frame::{self, Found};

/// Folder of the images within the spool's.
pub const FOLDER: &str = "dicom";
/// The kind of the records.
pub const KIND: frame::Kind = 1;
/// How the files end.
const SUFFIX: &str = ".images";

/// The file of a series in `folder`. The series must be the name of a file: UIDs hold digits and dots.
pub fn path(folder: &Path, series: &str) -> PathBuf {
    folder.join(format!("{series}{SUFFIX}"))
}

/// Series of which images are in `folder`; none when it is not there.
pub fn series(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut series = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        series.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
    }
    Ok(series)
}

/// Images of a series, in the order of their arrival: the id and the bytes of each record, an id that comes again left out,
/// and so is what is damaged. None when there is no file.
pub fn read(folder: &Path, series: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let bytes = match std::fs::read(path(folder, series)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let mut images: Vec<(String, Vec<u8>)> = Vec::new();
    for found in frame::parse(&bytes) {
        let Found::Record(record) = found else { continue };
        if !images.iter().any(|(id, _)| *id == record.id) {
            images.push((record.id, bytes[record.payload].to_vec()));
        }
    }
    Ok(images)
}
