//! Files become series: read once, so that what is hashed is what is decided.

use std::io;
use std::path::{Path, PathBuf};

use ovomesh_imaging::Error;
use ovomesh_imaging::dicom::{ImageInfo, Reader, Series, Unusable};
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
    /// Their series, and files that are no images, with the reason.
    Found(Vec<Found>, Vec<String>),
    /// A file whose verdict lies there already: the agent was killed before it was moved. Its SHA-256.
    Decided(String),
    /// One slice of a series.
    Slice(Box<ImageInfo>),
    /// Not whole, and may become so.
    MayGrow(String),
    /// The file that changed last ends with zeros, so that its content may still be on the way.
    Hollow,
    /// None of them is an image, for this reason.
    Nothing(String),
}

/// A series.
#[derive(Debug)]
pub enum Found {
    /// It makes a volume.
    Scan(Box<Scan>),
    /// It makes none.
    Unusable(Unusable),
}

/// A scan.
#[derive(Debug)]
pub struct Scan {
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
pub fn read(root: &Path, files: &[PathBuf], mode: Mode, reader: &Reader<'_>) -> io::Result<Read> {
    let Mode { most, alone, settled } = mode;
    if files.len() > FILES {
        return Ok(Read::Nothing(format!("more than {FILES} files; that is no scan")));
    }
    let mut read = Vec::with_capacity(files.len());
    let mut left = most;
    for file in files {
        let Some(content) = open::read(root, file, left)? else {
            let why =
                format!("{}: more than {most} bytes; that is no scan that this agent takes", file.display());
            return Ok(Read::Nothing(why));
        };
        left -= content.len() as u64;
        read.push((file.display().to_string(), content));
    }
    if !settled && ends_with_zeros(root, &read) {
        return Ok(Read::Hollow);
    }
    if alone && let [(name, bytes)] = read.as_slice() {
        let hash = sha256(bytes);
        if deliver::is_decided(root, name, &hash) {
            return Ok(Read::Decided(hash));
        }
        if let Ok(info) = reader.inspect(name, bytes)
            && info.frames == 1
            && info.expected != Some(1)
        {
            return Ok(Read::Slice(Box::new(info)));
        }
    }
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for result in reader.read(read.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))) {
        match result {
            Ok(series) => {
                let of = |file: &String| read.iter().find(|(name, _)| name == file);
                let sha256 = series.files.iter().filter_map(of).map(|(_, bytes)| sha256(bytes)).collect();
                found.push(Found::Scan(Box::new(Scan { series, sha256 })));
            }
            Err(Unusable { error: error @ Error::NotDicom { .. }, header: None, .. }) => {
                notes.push(error.to_string());
            }
            Err(unusable) => found.push(Found::Unusable(unusable)),
        }
    }
    if !found.is_empty() {
        return Ok(Read::Found(found, notes));
    }
    let (why, is_short) = (notes.join("; "), read.iter().any(|(_, bytes)| bytes.len() < MARK_BYTES));
    Ok(if is_short { Read::MayGrow(why) } else { Read::Nothing(why) })
}

/// Whether this is wrong with images that are still coming.
pub fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::Truncated { .. } | Error::Missing { .. } | Error::Pixels { .. } | Error::Series { .. }
    )
}

/// Whether the file that changed last ends with zeros.
fn ends_with_zeros(root: &Path, read: &[(String, Vec<u8>)]) -> bool {
    let changed =
        |name: &str| std::fs::symlink_metadata(root.join(name)).and_then(|meta| meta.modified()).ok();
    let last = read.iter().max_by_key(|(name, _)| changed(name));
    last.and_then(|(_, bytes)| bytes.last_chunk::<ZEROS>())
        .is_some_and(|end| end.iter().all(|&byte| byte == 0))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

        /// Files that are called 0, 1, 2 ...
        fn put_all(&self, files: &[Vec<u8>]) -> Vec<PathBuf> {
            files.iter().enumerate().map(|(i, bytes)| self.put(&i.to_string(), bytes)).collect()
        }

        fn read(&self, files: &[PathBuf], alone: bool) -> Read {
            read(self.0.path(), files, Mode { most: MOST, alone, settled: true }, &Reader::new(&[])).unwrap()
        }

        /// The one series of some files.
        fn found(&self, files: &[PathBuf]) -> Found {
            match self.read(files, false) {
                Read::Found(mut found, _) if found.len() == 1 => found.remove(0),
                other => panic!("{other:?}"),
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
    fn the_sha_256_is_that_of_the_file_whatever_its_name() {
        let files = Files::new();
        let (volume, label) = egg(5);
        let bytes = write_enhanced(&volume, &label).unwrap();
        for name in ["a.dcm", "b"] {
            let Found::Scan(scan) = files.found(&[files.put(name, &bytes)]) else { panic!("it is whole") };
            assert_eq!(scan.sha256, [sha256(&bytes)]);
        }
    }

    #[test]
    fn slices_wait_for_each_other_and_are_known_by_their_series() {
        let files = Files::new();
        let (volume, label) = egg(6);
        let slices = write_series(&volume, &label).unwrap();
        let mut names = files.put_all(&slices);
        let Read::Slice(slice) = files.read(&names[..1], true) else { panic!("it is a slice") };
        assert_eq!((&slice.header.series, slice.expected), (&label.series_uid, Some(4)));
        names.reverse();
        names.push(files.put("README", &[b'x'; 200]));
        let Read::Found(found, notes) = files.read(&names, false) else { panic!("they are whole") };
        let [Found::Scan(scan)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&scan.series.uid, scan.sha256.len()), (&label.series_uid, 4));
        assert!(notes[0].contains("README"), "{notes:?}");
    }

    #[test]
    fn what_is_cut_off_may_grow_and_says_whose_it_is_once_that_is_there() {
        let files = Files::new();
        let (volume, label) = egg(7);
        let bytes = write_enhanced(&volume, &label).unwrap();
        for cut in [0, 50] {
            let name = [files.put("cut.dcm", &bytes[..cut])];
            assert!(matches!(files.read(&name, true), Read::MayGrow(_)), "at {cut}");
        }
        for (cut, is_known) in [(140, false), (600, false), (bytes.len() - 40, true), (bytes.len() - 1, true)]
        {
            let Found::Unusable(unusable) = files.found(&[files.put("cut.dcm", &bytes[..cut])]) else {
                panic!("it is not whole")
            };
            assert!(may_pass(&unusable.error), "{unusable:?}");
            assert_eq!(
                unusable.header.map(|header| header.series),
                is_known.then(|| label.series_uid.clone())
            );
        }
        let junk = [files.put("junk", &[7; 500])];
        assert!(matches!(files.read(&junk, true), Read::Nothing(why) if why.contains("junk")));
        let huge = [files.put("huge", &vec![0; MOST as usize + 1])];
        assert!(matches!(files.read(&huge, true), Read::Nothing(why) if why.contains("huge")));
    }

    #[test]
    fn one_bad_series_takes_none_of_the_good_ones_with_it() {
        let files = Files::new();
        let (volume, label) = egg(8);
        let slices = write_series(&volume, &label).unwrap();
        let mut names = files.put_all(&slices[..3]);
        let (whole, other) = egg(10);
        names.push(files.put("other", &write_enhanced(&whole, &other).unwrap()));
        let Read::Found(found, _) = files.read(&names, false) else { panic!("both are series") };
        let [Found::Unusable(lacking), Found::Scan(good)] = &found[..] else { panic!("{found:?}") };
        assert!(lacking.error.to_string().contains("3 slice"), "{lacking:?}");
        assert_eq!(lacking.header.as_ref().unwrap().series, label.series_uid);
        assert_eq!(good.series.uid, other.series_uid);
    }

    #[test]
    fn what_ends_with_zeros_is_no_scan_until_it_has_settled() {
        let files = Files::new();
        let (_, label) = egg(9);
        let volume = Volume::from_u16(Header::new([32, 32, 4], [1.0, 1.0, 2.0]), &[9; 4096]).unwrap();
        let slices = write_series(&volume, &label).unwrap();
        let mut names = files.put_all(&slices);
        let mode = Mode { most: MOST, alone: false, settled: false };
        let read = |names: &[PathBuf], settled| {
            read(files.0.path(), names, Mode { settled, ..mode }, &Reader::new(&[])).unwrap()
        };
        assert!(matches!(read(&names, false), Read::Found(..)));
        // As large as it will be, with most of its samples.
        let half = [&slices[3][..slices[3].len() - 600], &[0; 600]].concat();
        names[3] = files.put("3", &half);
        assert!(matches!(read(&names, false), Read::Hollow));
        assert!(matches!(read(&names, true), Read::Found(..)));
    }
}
