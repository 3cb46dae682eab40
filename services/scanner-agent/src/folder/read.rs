//! Files become series: read once, so that what is hashed is what is decided.

use std::io;
use std::path::{Path, PathBuf};

use dicom_core::Tag;
use ovomesh_imaging::Error;
use ovomesh_imaging::dicom::{self, Series};
use sha2::{Digest as _, Sha256};

use super::deliver;
use super::listing::FILES;
use super::open;

/// Bytes before the mark of a DICOM file, and the mark: a shorter one may become one.
const MARK_BYTES: usize = 132;

/// Bytes of zeros at the end of a file that make it look unfinished: four lines of an image.
const ZEROS: usize = 512;

/// What came of some files.
#[derive(Debug)]
pub enum Read {
    /// Scans, and files that are none, with the reason.
    Scans(Vec<Scan>, Vec<String>),
    /// A file whose verdict lies there already: the agent was killed before it was moved. Its SHA-256.
    Decided(String),
    /// One slice of a series that has so many files, if it says so.
    Slice(String, Option<usize>),
    /// Not whole, and may become so.
    MayGrow(String),
    /// The file that changed last ends with zeros, so that its content may still be on the way.
    Hollow,
    /// Of no use, for this reason; and the first image of the series, when all of it are good and yet no volume.
    Unusable(String, Option<Box<dicom::ImageInfo>>),
}

/// A scan.
#[derive(Debug)]
pub struct Scan {
    /// Its id: the SHA-256 of its file; of several, that of their sorted SHA-256s. Names and order do not matter.
    pub id: String,
    /// What it is.
    pub series: Series,
    /// The SHA-256 of each of its files.
    pub sha256: Vec<String>,
}

/// How files are read.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Bytes that they may have together.
    pub most: u64,
    /// It is one file, which may be a slice of a series that is still coming.
    pub alone: bool,
    /// Zeros at their end are taken for content.
    pub settled: bool,
}

/// Reads `files` of the folder `root`.
pub fn read(root: &Path, files: &[PathBuf], mode: Mode, wanted: &[Tag]) -> io::Result<Read> {
    let Mode { most, alone, settled } = mode;
    if files.len() > FILES {
        return Ok(Read::Unusable(format!("more than {FILES} files; that is no scan"), None));
    }
    let mut read = Vec::with_capacity(files.len());
    let mut left = most;
    for file in files {
        let Some(content) = open::read(root, file, left)? else {
            let why =
                format!("{}: more than {most} bytes; that is no scan that this agent takes", file.display());
            return Ok(Read::Unusable(why, None));
        };
        left -= content.len() as u64;
        read.push((file.display().to_string(), content));
    }
    if !settled && ends_with_zeros(root, &read) {
        return Ok(Read::Hollow);
    }
    if alone && let [(name, bytes)] = read.as_slice() {
        let hash = hex(&sha256(bytes));
        if deliver::is_decided(root, name, &hash) {
            return Ok(Read::Decided(hash));
        }
        if let Ok(info) = dicom::inspect(name, bytes, wanted)
            && info.frames == 1
            && info.expected != Some(1)
        {
            return Ok(Read::Slice(info.series, info.expected));
        }
    }
    let (mut scans, mut notes, mut problem) = (Vec::new(), Vec::new(), None);
    for result in dicom::read(read.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())), wanted) {
        match result {
            Ok(series) => {
                let of = |file: &String| read.iter().find(|(name, _)| name == file);
                let hashes: Vec<_> =
                    series.files.iter().filter_map(of).map(|(_, bytes)| sha256(bytes)).collect();
                let hashes_hex = hashes.iter().map(hex).collect();
                scans.push(Scan { id: id(hashes), series, sha256: hashes_hex });
            }
            Err(Error::NotDicom { file, detail }) => {
                notes.push(format!("{file}: not a usable DICOM file: {detail}"));
            }
            Err(error) => {
                problem.get_or_insert(error);
            }
        }
    }
    let is_short = read.iter().any(|(_, bytes)| bytes.len() < MARK_BYTES);
    match problem {
        None if !scans.is_empty() => Ok(Read::Scans(scans, notes)),
        None if is_short => Ok(Read::MayGrow(notes.join("; "))),
        None => Ok(Read::Unusable(notes.join("; "), None)),
        Some(
            error @ (Error::Truncated { .. }
            | Error::Missing { .. }
            | Error::Pixels { .. }
            | Error::Series { .. }),
        ) => Ok(Read::MayGrow(error.to_string())),
        Some(error) => Ok(Read::Unusable(error.to_string(), None)),
    }
}

/// Whether the file that changed last ends with zeros.
fn ends_with_zeros(root: &Path, read: &[(String, Vec<u8>)]) -> bool {
    let changed =
        |name: &str| std::fs::symlink_metadata(root.join(name)).and_then(|meta| meta.modified()).ok();
    let last = read.iter().max_by_key(|(name, _)| changed(name));
    last.and_then(|(_, bytes)| bytes.last_chunk::<ZEROS>())
        .is_some_and(|end| end.iter().all(|&byte| byte == 0))
}

/// What it is, when it was not whole for this reason and never will be.
pub fn give_up(root: &Path, files: &[PathBuf], most: u64, why: String, wanted: &[Tag]) -> io::Result<Read> {
    let mut first = None::<dicom::ImageInfo>;
    for file in files {
        let Some(bytes) = open::read(root, file, most)? else { return Ok(Read::Unusable(why, None)) };
        match (dicom::inspect(&file.display().to_string(), &bytes, wanted), &first) {
            (Ok(info), None) => first = Some(info),
            (Ok(info), Some(first)) if info.series == first.series => {}
            _ => return Ok(Read::Unusable(why, None)),
        }
    }
    // All images are good, and yet no volume: that is an egg which needs an answer.
    Ok(Read::Unusable(why, first.map(Box::new)))
}

fn id(mut hashes: Vec<[u8; 32]>) -> String {
    hashes.sort_unstable();
    match hashes.as_slice() {
        [one] => hex(one),
        several => hex(&sha256(&several.concat())),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovomesh_imaging::dicom::{Device, Label, series_uid, write_enhanced, write_series};
    use ovomesh_imaging::{Header, Volume};

    const MOST: u64 = 4 << 20;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
            std::fs::write(self.0.path().join(name), bytes).unwrap();
            name.into()
        }

        fn read(&self, files: &[PathBuf], alone: bool) -> Read {
            read(self.0.path(), files, Mode { most: MOST, alone, settled: true }, &[]).unwrap()
        }

        fn give_up(&self, files: &[PathBuf]) -> Read {
            match self.read(files, false) {
                Read::MayGrow(why) => give_up(self.0.path(), files, MOST, why, &[]).unwrap(),
                other => other,
            }
        }
    }

    fn egg(number: u128) -> (Volume, Label) {
        let volume =
            Volume::from_u16(Header::new([8, 8, 4], [1.0, 1.0, 2.0]), &[number as u16; 256]).unwrap();
        let acquired = jiff::civil::date(2026, 11, 24).at(9, 30, 0, 0);
        let series_uid = series_uid(number);
        (volume, Label { series_uid, egg_id: "e".into(), acquired, device: Device::default() })
    }

    #[test]
    fn the_id_is_the_sha_256_of_the_file_whatever_its_name() {
        let files = Files::new();
        let (volume, label) = egg(5);
        let bytes = write_enhanced(&volume, &label).unwrap();
        let ids: Vec<String> = ["a.dcm", "b"]
            .map(|name| match files.read(&[files.put(name, &bytes)], true) {
                Read::Scans(scans, _) => scans[0].id.clone(),
                other => panic!("{other:?}"),
            })
            .into();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0], hex(&sha256(&bytes)));
    }

    #[test]
    fn slices_wait_for_each_other_and_their_order_does_not_matter() {
        let files = Files::new();
        let (volume, label) = egg(6);
        let slices = write_series(&volume, &label).unwrap();
        let mut names: Vec<PathBuf> =
            slices.iter().enumerate().map(|(i, bytes)| files.put(&format!("{i}"), bytes)).collect();
        assert!(
            matches!(files.read(&names[..1], true), Read::Slice(series, Some(4)) if series == label.series_uid)
        );
        let Read::Scans(first, _) = files.read(&names, false) else { panic!("they are whole") };
        names.reverse();
        names.push(files.put("README", &[b'x'; 200]));
        let Read::Scans(second, notes) = files.read(&names, false) else { panic!("they are whole") };
        assert_eq!(first[0].id, second[0].id);
        assert!(notes[0].contains("README"), "{notes:?}");
    }

    #[test]
    fn what_is_cut_off_may_grow_until_its_last_chance() {
        let files = Files::new();
        let (volume, label) = egg(7);
        let bytes = write_enhanced(&volume, &label).unwrap();
        for cut in [0, 50, 140, 600, bytes.len() / 2, bytes.len() - 1] {
            let name = [files.put("cut.dcm", &bytes[..cut])];
            assert!(matches!(files.read(&name, true), Read::MayGrow(_)), "at {cut}");
            assert!(matches!(files.give_up(&name), Read::Unusable(_, None)), "at {cut}");
        }
        let junk = [files.put("junk", &[7; 500])];
        assert!(matches!(files.read(&junk, true), Read::Unusable(why, _) if why.contains("junk")));
        let huge = [files.put("huge", &vec![0; MOST as usize + 1])];
        assert!(matches!(files.read(&huge, true), Read::Unusable(why, _) if why.contains("huge")));
    }

    #[test]
    fn what_ends_with_zeros_is_no_scan_until_it_has_settled() {
        let files = Files::new();
        let (_, label) = egg(9);
        let volume = Volume::from_u16(Header::new([32, 32, 4], [1.0, 1.0, 2.0]), &[9; 4096]).unwrap();
        let slices = write_series(&volume, &label).unwrap();
        let mut names: Vec<PathBuf> =
            slices.iter().enumerate().map(|(i, bytes)| files.put(&format!("{i}"), bytes)).collect();
        let mode = Mode { most: MOST, alone: false, settled: false };
        let read =
            |names: &[PathBuf], settled| read(files.0.path(), names, Mode { settled, ..mode }, &[]).unwrap();
        assert!(matches!(read(&names, false), Read::Scans(..)));
        // As large as it will be, with most of its samples.
        let half = [&slices[3][..slices[3].len() - 600], &[0; 600]].concat();
        names[3] = files.put("3", &half);
        assert!(matches!(read(&names, false), Read::Hollow));
        assert!(matches!(read(&names, true), Read::Scans(..)));
    }

    #[test]
    fn a_series_that_lacks_slices_is_known_by_what_is_there() {
        let files = Files::new();
        let (volume, label) = egg(8);
        let slices = write_series(&volume, &label).unwrap();
        let names: Vec<PathBuf> =
            slices[..3].iter().enumerate().map(|(i, bytes)| files.put(&format!("{i}"), bytes)).collect();
        let Read::Unusable(why, Some(info)) = files.give_up(&names) else { panic!("it is no volume") };
        assert!(why.contains("3 slice") && info.series == label.series_uid, "{why}");
    }
}
