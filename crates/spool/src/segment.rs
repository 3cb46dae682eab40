//! The files of a log: their names, what is in them, and the cutting of torn tails.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::frame::{Damage, Format, Found, Record};
use crate::{Error, header};

/// Number of a segment: they are written in this order.
pub type Number = u64;

const ENDING: &str = "log";

/// The file of a segment.
pub fn path(folder: &Path, number: Number) -> PathBuf {
    folder.join(format!("{number:010}.{ENDING}"))
}

/// The segments of a folder, oldest first.
pub fn list(folder: &Path) -> Result<Vec<Number>, Error> {
    let failed = |error: std::io::Error| Error::io(folder, &error);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.path();
        if name.extension().is_some_and(|ending| ending == ENDING)
            && let Some(number) =
                name.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is in a segment.
#[derive(Debug, Default)]
pub struct Contents {
    /// Whole records in their order.
    pub records: Vec<Record>,
    /// What is no record.
    pub damage: Vec<Damage>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Reads a segment, which takes memory for all of it for that long.
pub fn read(folder: &Path, number: Number) -> Result<Contents, Error> {
    let path = path(folder, number);
    let file = std::fs::read(&path).map_err(|error| Error::io(&path, &error))?;
    let mut contents = Contents { bytes: file.len() as u64, ..Contents::default() };
    for found in header::parse(&file).map_err(|newer| Error::Newer { path, version: newer.0 })? {
        match found {
            Found::Record(record) => contents.records.push(record),
            Found::Damage(damage) => contents.damage.push(damage),
        }
    }
    Ok(contents)
}

/// Cuts a torn tail off.
pub fn cut(folder: &Path, number: Number, bytes: u64) -> Result<(), Error> {
    let path = path(folder, number);
    let cut = || {
        let file = File::options().write(true).open(&path)?;
        file.set_len(bytes)?;
        file.sync_all()
    };
    cut().map_err(|error| Error::io(&path, &error))
}

/// A new segment whose name is durable, and the format of its frames. Its header is durable with the first record.
pub fn create(folder: &Path, number: Number) -> Result<(File, Format), Error> {
    let path = path(folder, number);
    let create = || {
        let mut file = File::options().create_new(true).write(true).open(&path)?;
        let format = header::begin(&mut file)?;
        File::open(folder)?.sync_all()?;
        Ok((file, format))
    };
    create().map_err(|error| Error::io(&path, &error))
}
