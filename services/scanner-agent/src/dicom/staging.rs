//! Images of series that are not whole yet, on disk: one file for each series, so that a series that has become a scan
//! is let go by one unlink. What is read back is what was written, or it is left out: records have checksums.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use ovomesh_api::pb::spool::v1::Image;
use ovomesh_intake::ImageOrigin;
use ovomesh_spool::frame;
use ovomesh_spool::images::{self, ImageFile};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::time::Instant;

use crate::deadline;

/// How long the time of an image's arrival is known after a restart: longer than any budget.
const KNOWN_FOR: Duration = Duration::from_secs(120);

/// Images on disk.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    /// Files that are being written.
    open: Mutex<HashMap<String, Arc<Mutex<ImageFile>>>>,
}

/// An image that was read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// SOPInstanceUID.
    pub instance: String,
    /// How it came.
    pub origin: ImageOrigin,
    /// When it came.
    pub at: Instant,
    /// The DICOM file.
    pub file: Bytes,
}

impl Staging {
    /// Opens the folder, or makes it. `limit`: bytes of all images.
    pub fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let used =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum::<io::Result<u64>>()?;
        Ok(Self { folder: folder.to_owned(), limit, used: AtomicU64::new(used), open: Mutex::default() })
    }

    /// Series of which images are there.
    pub fn series(&self) -> io::Result<Vec<String>> {
        images::series(&self.folder)
    }

    /// Keeps an image; when this returns it is on disk.
    pub fn append(
        &self,
        series: &str,
        instance: &str,
        origin: &ImageOrigin,
        file: Vec<u8>,
    ) -> io::Result<()> {
        let record = Image {
            calling_ae: origin.calling_ae.clone().unwrap_or_default(),
            called_ae: origin.called_ae.clone().unwrap_or_default(),
            known_until: Some(deadline::write(Instant::now() + KNOWN_FOR)),
            file: file.into(),
        };
        let payload = record.encode_to_vec();
        let bytes = frame::length(instance, payload.len()) as u64;
        if self.used.fetch_add(bytes, Relaxed) + bytes > self.limit {
            self.used.fetch_sub(bytes, Relaxed);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let written = self.write(series, instance, &payload);
        // Of a series that was let go meanwhile this is a repeat, and its file is no longer there.
        if written.is_err() || !self.path(series).exists() {
            self.used.fetch_sub(bytes, Relaxed);
        }
        written
    }

    fn write(&self, series: &str, instance: &str, payload: &[u8]) -> io::Result<()> {
        self.file(series)?.lock().append(instance, payload)
    }

    /// The file of a series, which is on disk by its name before anything in it is.
    fn file(&self, series: &str) -> io::Result<Arc<Mutex<ImageFile>>> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(series) {
            return Ok(file.clone());
        }
        let before = std::fs::metadata(self.path(series)).map_or(0, |meta| meta.len());
        let file = ImageFile::open(&self.folder, series)?;
        self.used.fetch_add(file.bytes()?, Relaxed);
        self.used.fetch_sub(before, Relaxed);
        let file = Arc::new(Mutex::new(file));
        open.insert(series.to_owned(), file.clone());
        Ok(file)
    }

    /// All images of a series, in the order of their arrival; none when it was let go.
    pub fn read(&self, series: &str) -> io::Result<Vec<Staged>> {
        let staged = |(instance, record): (String, Vec<u8>)| {
            let Image { calling_ae, called_ae, known_until, file } =
                Image::decode(Bytes::from(record)).ok()?;
            let origin = ImageOrigin {
                calling_ae: Some(calling_ae),
                called_ae: Some(called_ae),
                ..ImageOrigin::default()
            };
            let until = deadline::read(&known_until.unwrap_or_default());
            let at = until.checked_sub(KNOWN_FOR).unwrap_or(until);
            Some(Staged { instance, origin, at, file })
        };
        Ok(images::read(&self.folder, series)?.into_iter().filter_map(staged).collect())
    }

    /// Lets a series go.
    pub fn remove(&self, series: &str) {
        let path = self.path(series);
        self.open.lock().remove(series);
        let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        let removed = std::fs::remove_file(&path).and_then(|()| File::open(&self.folder)?.sync_all());
        match removed {
            Ok(()) => {
                self.used.fetch_sub(bytes, Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a series that is done was not removed");
            }
        }
    }

    /// Moves a series to another folder, for people to look at.
    pub fn set_aside(&self, series: &str, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let path = self.path(series);
        let bytes = std::fs::metadata(&path)?.len();
        std::fs::rename(&path, images::path(folder, series))?;
        self.open.lock().remove(series);
        self.used.fetch_sub(bytes, Relaxed);
        Ok(())
    }

    /// Bytes of all images, and how many there may be.
    pub fn bytes(&self) -> (u64, u64) {
        (self.used.load(Relaxed), self.limit)
    }

    /// Callers check that series are names of files.
    fn path(&self, series: &str) -> PathBuf {
        images::path(&self.folder, series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> ImageOrigin {
        let (calling_ae, called_ae) = (Some("A".into()), Some("B".into()));
        ImageOrigin { calling_ae, called_ae, ..ImageOrigin::default() }
    }

    #[test]
    fn images_outlive_the_process_and_a_torn_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path(), 1 << 20).unwrap();
        for instance in ["1.1", "1.2", "1.2"] {
            staging.append("1", instance, &origin(), instance.as_bytes().to_vec()).unwrap();
        }
        staging.append("2", "2.1", &origin(), vec![9; 100]).unwrap();
        let whole = std::fs::read(folder.path().join("2.images")).unwrap();
        std::fs::write(folder.path().join("2.images"), &whole[..whole.len() - 1]).unwrap();
        let staging = Staging::open(folder.path(), 1 << 20).unwrap();
        let mut series = staging.series().unwrap();
        series.sort();
        assert_eq!(series, ["1", "2"]);
        let images = staging.read("1").unwrap();
        let read: Vec<_> = images.iter().map(|i| (i.instance.as_str(), &i.file[..])).collect();
        assert_eq!(read, [("1.1", &b"1.1"[..]), ("1.2", b"1.2")]);
        assert_eq!(images[0].origin, origin());
        assert!(images[0].at <= Instant::now(), "it came before now");
        assert!(staging.read("2").unwrap().is_empty());
        // What comes after a torn record is found.
        staging.append("2", "2.1", &origin(), vec![9; 100]).unwrap();
        assert_eq!(staging.read("2").unwrap().len(), 1);
    }

    /// The image's author knows the format, and the key of a file of his own, but not this file's.
    #[test]
    fn a_record_within_an_image_is_never_an_image_wherever_its_file_is_torn() {
        let own = tempfile::tempdir().unwrap();
        let staging = Staging::open(own.path(), 1 << 20).unwrap();
        staging.append("9", "forged", &origin(), vec![7; 50]).unwrap();
        let forged = std::fs::read(own.path().join("9.images")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path(), 1 << 20).unwrap();
        staging.append("1", "1.1", &origin(), b"first".to_vec()).unwrap();
        staging.append("1", "1.2", &origin(), forged.repeat(2)).unwrap();
        let path = folder.path().join("1.images");
        let whole = std::fs::read(&path).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let read = staging.read("1").unwrap();
            let read: Vec<_> = read.iter().map(|image| image.instance.as_str()).collect();
            assert!(["1.1", "1.2"].starts_with(&read), "cut at {end}: {read:?}");
        }
    }

    #[test]
    fn a_file_that_was_just_begun_is_begun_anew_and_its_room_is_counted() {
        for begun in [0, 1, 30] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("1.images");
            let staging = Staging::open(folder.path(), 1 << 20).unwrap();
            staging.append("1", "1.1", &origin(), vec![1; 9]).unwrap();
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..begun]).unwrap();
            let staging = Staging::open(folder.path(), 1 << 20).unwrap();
            staging.append("1", "1.2", &origin(), vec![2; 9]).unwrap();
            assert_eq!(staging.read("1").unwrap().len(), 1);
            assert_eq!(staging.bytes().0, std::fs::metadata(&path).unwrap().len());
            staging.remove("1");
            assert_eq!(staging.bytes().0, 0);
        }
    }

    #[test]
    fn room_is_bounded_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path(), 1_000).unwrap();
        staging.append("1", "1.1", &origin(), vec![0; 500]).unwrap();
        let error = staging.append("2", "2.1", &origin(), vec![0; 500]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        staging.remove("1");
        assert_eq!(staging.bytes(), (0, 1_000));
        staging.append("2", "2.1", &origin(), vec![0; 500]).unwrap();
        staging.remove("never there");
        staging.append("3", "3.1", &origin(), vec![0; 100]).unwrap();
        let aside = tempfile::tempdir().unwrap();
        staging.set_aside("3", aside.path()).unwrap();
        assert!(aside.path().join("3.images").exists());
        assert_eq!(staging.series().unwrap(), ["2"]);
    }
}
