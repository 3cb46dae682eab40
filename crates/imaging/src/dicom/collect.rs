//! Files become series.

use std::collections::HashMap;

use super::{
    Series,
    acquired::Acquired,
    acquisition::{Acquisition, is_whole_acquisition},
    image::{Frame, Image, Source},
    inspect::Unusable,
    reader::Reader,
    stack::{self, Stack},
};
use crate::error::Error;

/// Images by series.
pub(super) struct Collected<'r> {
    reader: Reader<'r>,
    /// Bytes of all samples.
    bytes: usize,
    entries: Vec<Entry>,
    by_series: HashMap<String, usize>,
}

/// The images of one series, or one file whose series cannot be read.
#[derive(Default)]
struct Entry {
    images: Vec<(String, Image)>,
    /// The first one that cannot be used.
    unusable: Option<Unusable>,
}

impl<'r> Collected<'r> {
    pub(super) fn new(reader: Reader<'r>) -> Self {
        Self { reader, bytes: 0, entries: Vec::new(), by_series: HashMap::new() }
    }

    pub(super) fn add(&mut self, file: &str, bytes: &[u8]) {
        match Image::read(file, bytes, &self.reader).and_then(|image| self.fits(image)) {
            Ok(image) => self.entry(Some(&image.source.header.series)).images.push((file.to_owned(), image)),
            Err(unusable) => self.add_unusable(unusable),
        }
    }

    /// All samples are in memory until the last file has been read.
    fn fits(&mut self, image: Image) -> Result<Image, Unusable> {
        let most = self.reader.limits.samples_bytes();
        self.bytes += image.sample_bytes();
        if self.bytes <= most {
            return Ok(image);
        }
        let header = Box::new(image.source.header);
        let series = header.series.clone();
        let problem = format!("its samples, and those of what comes with it, have more than {most} bytes");
        let (uid, error) = (series.as_str().into(), Error::Series { series, problem });
        Err(Unusable { series: Some(uid), header: Some(header), error })
    }

    pub(super) fn add_unusable(&mut self, unusable: Unusable) {
        self.entry(unusable.series.as_deref()).unusable.get_or_insert(unusable);
    }

    fn entry(&mut self, series: Option<&str>) -> &mut Entry {
        let next = self.entries.len();
        let index = match series {
            Some(uid) => *self.by_series.entry(uid.to_owned()).or_insert(next),
            None => next,
        };
        if index == next {
            self.entries.push(Entry::default());
        }
        &mut self.entries[index]
    }

    pub(super) fn finish(self) -> Vec<Result<Series, Unusable>> {
        let parts: Vec<_> = self.entries.iter().map(Entry::part).collect();
        let is_whole = |i: usize| {
            let others = parts.iter().enumerate().filter(|&(j, _)| j != i).filter_map(|(_, part)| *part);
            parts[i].is_some_and(|part| is_whole_acquisition(part, others))
        };
        let are_whole: Vec<bool> = (0..parts.len()).map(is_whole).collect();
        self.entries
            .into_iter()
            .zip(are_whole)
            .filter_map(|(entry, is_whole)| entry.finish(is_whole))
            .collect()
    }
}

impl Entry {
    /// What it may be a part of.
    fn part(&self) -> Option<(&Acquisition, usize)> {
        let acquisition = self.images.iter().find_map(|(_, image)| image.acquisition.as_ref())?;
        Some((acquisition, self.images.len()))
    }

    /// `is_whole`: the count that its images state is of several series, and it has its part of them. Nothing when it
    /// holds nothing.
    fn finish(self, is_whole: bool) -> Option<Result<Series, Unusable>> {
        let Some((_, first)) = self.images.first() else { return self.unusable.map(Err) };
        let source = first.source.clone();
        let made = match self.unusable {
            Some(unusable) => Err(unusable.error),
            None => series(self.images, &source),
        };
        Some(match made {
            Ok(series) => Ok(Series { stated: series.stated.filter(|_| !is_whole), ..series }),
            // An image that can be used says best whose it is.
            Err(error) => {
                let series = Some(source.header.series.as_str().into());
                Err(Unusable { series, header: Some(Box::new(source.header)), error })
            }
        })
    }
}

/// The series that images make; `source` is that of the first.
fn series(images: Vec<(String, Image)>, source: &Source) -> Result<Series, Error> {
    check_identity(&images)?;
    let (mut frames, mut files, mut notes): (Vec<Frame>, Vec<String>, Vec<String>) = Default::default();
    let (mut acquired, mut stated) = (None::<Acquired>, None);
    for (file, image) in images {
        files.push(file);
        frames.extend(image.frames);
        notes.extend(image.notes);
        stated = stated.max(image.expected);
        // The last slice's time is when the acquisition ended.
        acquired = match (acquired, image.source.header.acquired) {
            (Some(a), Some(b)) if b.local <= a.local => Some(a),
            (a, b) => b.or(a),
        };
    }
    let Source { header, identity, device } = source.clone();
    let (uid, images) = (header.series, frames.len());
    let Stack { volume, axes, notes: more } = stack::stack(&uid, frames)?;
    notes.extend(more);
    let (egg_id, attributes) = (identity.egg_id().map(str::to_owned), header.attributes);
    Ok(Series { volume, axes, uid, egg_id, acquired, device, attributes, files, images, stated, notes })
}

/// All images of a series must be of the same egg.
fn check_identity(images: &[(String, Image)]) -> Result<(), Error> {
    let Some((first_file, first)) = images.first() else { return Ok(()) };
    for (file, image) in images {
        if let Some(difference) = first.source.identity.difference(&image.source.identity) {
            let problem = format!(
                "{difference} in {first_file} and {file}: images of several eggs have one SeriesInstanceUID; \
                 send each egg as a series of its own"
            );
            return Err(Error::Series { series: first.source.header.series.clone(), problem });
        }
    }
    Ok(())
}
