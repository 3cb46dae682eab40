//! Images of series that are not whole yet, beside the two logs: one file for each series, whose records are the images.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::frame::{self, Format, Found};
use crate::header::{self, Start};

/// Folder of the images within the spool's.
pub const FOLDER: &str = "dicom";
/// The kind of the records.
const KIND: frame::Kind = 1;
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
    for found in header::parse(&bytes).map_err(newer)? {
        let Found::Record(record) = found else { continue };
        if !images.iter().any(|(id, _)| *id == record.id) {
            images.push((record.id, bytes[record.payload].to_vec()));
        }
    }
    Ok(images)
}

/// The file of one series, open for more images.
#[derive(Debug)]
pub struct ImageFile {
    file: File,
    format: Format,
}

impl ImageFile {
    /// Opens the file of a series in `folder`, or begins it; then its name is durable. A file of version 0.1 is continued in
    /// the format of that version. One in which nothing can be read is begun anew.
    pub fn open(folder: &Path, series: &str) -> io::Result<Self> {
        let path = path(folder, series);
        let mut file = File::options().read(true).append(true).create(true).open(&path)?;
        let format = match header::of(&mut file)? {
            Start::Frames(format, _) if file.metadata()?.len() > 0 => format,
            Start::Newer(version) => return Err(newer(header::Newer(version))),
            start => {
                if start == Start::Damaged {
                    tracing::error!(path = %path.display(), "the header is damaged, so the images in it are lost");
                }
                file.set_len(0)?;
                header::begin(&mut file)?
            }
        };
        File::open(folder)?.sync_all()?;
        Ok(Self { file, format })
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Appends an image; when this returns it is on disk.
    pub fn append(&mut self, id: &str, payload: &[u8]) -> io::Result<()> {
        let before = self.bytes()?;
        let (head, tail) = self.format.around(KIND, id, payload);
        let written = [&head[..], payload, &tail[..]].iter().try_for_each(|part| self.file.write_all(part));
        let written = written.and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A half of a record would hide nothing that follows, but would take room.
            let _ = self.file.set_len(before);
        }
        written
    }
}

fn newer(header::Newer(version): header::Newer) -> io::Error {
    io::Error::other(format!("it is in format {version} of a newer version of ovomesh; start that version"))
}
