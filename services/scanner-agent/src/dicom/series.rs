//! When a series is whole. Pure: a state machine whose clock is told.
//!
//! A series is whole when it has as many images as it says (ImagesInAcquisition, or one with several slices). If it does
//! not say: when its association is released, or after [`Limits::idle`] without an image. When it says more than came by
//! then, or its association was aborted and nothing was sent again within [`Limits::again`], slices are missing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ovomesh_imaging::dicom::{Acquired, Attributes};
use ovomesh_intake::ImageOrigin;
use tokio::time::Instant;

/// What is bounded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series that are being put together.
    pub series: usize,
    /// Images of a series.
    pub images: usize,
    /// Bytes of a series.
    pub bytes: u64,
    /// A series that gets no image for so long is as whole as it will be.
    pub idle: Duration,
    /// After an association was aborted, its series may be sent again for so long.
    pub again: Duration,
}

/// One image.
#[derive(Debug, Clone)]
pub struct Image {
    /// SeriesInstanceUID.
    pub series: String,
    /// SOPInstanceUID.
    pub instance: String,
    /// Its size.
    pub bytes: u64,
    /// How many images its series has, if it says so.
    pub expected: Option<usize>,
    /// What is known of its series by it.
    pub about: About,
    /// When it came.
    pub at: Instant,
}

/// What is known of a series by its first image.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// How it came.
    pub origin: ImageOrigin,
    /// What it says.
    pub attributes: Attributes,
    /// When it was acquired.
    pub acquired: Option<Acquired>,
}

/// A series as it is in the end.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// SeriesInstanceUID.
    pub series: String,
    /// What is known of it.
    pub about: About,
    /// When its last image came.
    pub at: Instant,
    /// Why it is not whole.
    pub missing: Option<String>,
    pending: Pending,
}

/// Why an image is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no room now.
    #[error("{0} series are being put together; send it later")]
    Busy(usize),
    /// It never will be.
    #[error("its series has more than {0} {1}")]
    TooLarge(u64, &'static str),
}

/// Series that are not whole yet.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    series: HashMap<String, Pending>,
}

#[derive(Debug, Clone)]
struct Pending {
    instances: HashSet<String>,
    /// Images that could not be used.
    refused: HashMap<String, String>,
    bytes: u64,
    expected: Option<usize>,
    about: Option<About>,
    at: Instant,
    due: Instant,
    was_aborted: bool,
}

impl Table {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, series: HashMap::new() }
    }

    /// Whether there is room for an image; false when it is there already.
    pub fn admits(&self, image: &Image) -> Result<bool, Refusal> {
        let Some(pending) = self.series.get(&image.series) else {
            let is_full = self.series.len() >= self.limits.series;
            return if is_full { Err(Refusal::Busy(self.series.len())) } else { Ok(true) };
        };
        if pending.instances.contains(&image.instance) {
            return Ok(false);
        }
        if pending.instances.len() >= self.limits.images {
            return Err(Refusal::TooLarge(self.limits.images as u64, "images"));
        }
        if pending.bytes + image.bytes > self.limits.bytes {
            return Err(Refusal::TooLarge(self.limits.bytes, "bytes"));
        }
        Ok(true)
    }

    /// An image that is on disk; its series, when that is whole.
    pub fn add(&mut self, image: Image) -> Option<Gathered> {
        let idle = self.limits.idle;
        let pending = self.series.entry(image.series.clone()).or_insert_with(|| Pending::new(image.at));
        pending.refused.remove(&image.instance);
        if pending.instances.insert(image.instance) {
            pending.bytes += image.bytes;
        }
        pending.expected = pending.expected.max(image.expected);
        pending.about.get_or_insert(image.about);
        (pending.at, pending.due, pending.was_aborted) = (image.at, image.at + idle, false);
        let is_whole = pending.expected.is_some_and(|n| pending.instances.len() >= n);
        if is_whole { self.gather(&image.series, None) } else { None }
    }

    /// An image that could not be used: without another one in its place its series is not whole.
    pub fn refuse(&mut self, series: &str, instance: &str, why: &str, now: Instant) {
        let (idle, images) = (self.limits.idle, self.limits.images);
        if !self.series.contains_key(series) && self.series.len() >= self.limits.series {
            return;
        }
        let pending = self.series.entry(series.to_owned()).or_insert_with(|| Pending::new(now));
        pending.due = now + idle;
        if pending.refused.len() < images && !pending.instances.contains(instance) {
            pending.refused.insert(instance.to_owned(), why.to_owned());
        }
    }

    /// An association that had sent images of a series was released: the series, when it does not say that more follow.
    pub fn released(&mut self, series: &str) -> Option<Gathered> {
        let pending = self.series.get(series)?;
        if pending.expected.is_some() && pending.refused.is_empty() {
            // The rest may come by another association.
            return None;
        }
        let missing = pending.missing(self.limits.again);
        self.gather(series, missing)
    }

    /// An association that had sent images of a series broke.
    pub fn aborted(&mut self, series: &str, now: Instant) {
        if let Some(pending) = self.series.get_mut(series) {
            pending.due = now + self.limits.again;
            pending.was_aborted = true;
        }
    }

    /// Series whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<Gathered> {
        let again = self.limits.again;
        let due = self.series.iter().filter(|(_, pending)| pending.due <= now);
        let due: Vec<_> = due.map(|(series, pending)| (series.clone(), pending.missing(again))).collect();
        due.into_iter().filter_map(|(series, missing)| self.gather(&series, missing)).collect()
    }

    /// A series that could not be handed on, to be tried again then.
    pub fn put_back(&mut self, gathered: Gathered, due: Instant) {
        let pending = Pending { due, ..gathered.pending };
        match self.series.entry(gathered.series) {
            Entry::Vacant(place) => {
                place.insert(pending);
            }
            // Images of it came meanwhile: again, or late.
            Entry::Occupied(mut place) => {
                let newer = place.get_mut();
                newer.instances.extend(pending.instances);
                newer.expected = newer.expected.max(pending.expected);
                newer.bytes += pending.bytes;
            }
        }
    }

    /// Whether images of a series wait for others.
    pub fn has(&self, series: &str) -> bool {
        self.series.contains_key(series)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    fn gather(&mut self, series: &str, missing: Option<String>) -> Option<Gathered> {
        let pending = self.series.remove(series)?;
        // Without any image that could be used nothing was taken.
        let about = pending.about.clone()?;
        Some(Gathered { series: series.to_owned(), about, at: pending.at, missing, pending })
    }
}

impl Pending {
    fn new(now: Instant) -> Self {
        let (instances, refused) = Default::default();
        let (bytes, expected, about, was_aborted) = (0, None, None, false);
        Self { instances, refused, bytes, expected, about, at: now, due: now, was_aborted }
    }

    fn missing(&self, again: Duration) -> Option<String> {
        let came = self.instances.len();
        if let Some((instance, why)) = self.refused.iter().next() {
            return Some(format!("missing slices: image {instance} was refused: {why}"));
        }
        match self.expected {
            Some(expected) if came < expected => {
                Some(format!("missing slices: {came} of {expected} images came"))
            }
            None if self.was_aborted => Some(format!(
                "missing slices: the association was aborted after {came} images, and nothing came again within {} s",
                again.as_secs()
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        series: 2,
        images: 4,
        bytes: 100,
        idle: Duration::from_secs(1),
        again: Duration::from_secs(10),
    };

    fn image(series: &str, instance: &str, expected: Option<usize>, at: Instant) -> Image {
        let (series, instance) = (series.to_owned(), instance.to_owned());
        Image { series, instance, bytes: 10, expected, about: About::default(), at }
    }

    fn after(now: Instant, ms: u64) -> Instant {
        now + Duration::from_millis(ms)
    }

    #[test]
    fn a_series_is_whole_when_it_has_what_it_says_however_often_an_image_comes() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        for instance in ["1", "2", "2", "1"] {
            assert!(table.add(image("s", instance, Some(3), now)).is_none());
        }
        assert_eq!(table.admits(&image("s", "2", Some(3), now)), Ok(false));
        let whole = table.add(image("s", "3", Some(3), now)).unwrap();
        assert_eq!((whole.missing, table.len()), (None, 0));
        assert!(table.add(image("one", "1", Some(1), now)).is_some(), "several slices in one image");
    }

    #[test]
    fn one_that_does_not_say_is_whole_at_the_release_or_when_nothing_comes() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.add(image("released", "1", None, now));
        assert!(table.released("released").unwrap().missing.is_none());
        table.add(image("idle", "1", None, now));
        table.add(image("idle", "2", None, after(now, 900)));
        assert!(table.due(after(now, 1_800)).is_empty());
        let due = table.due(after(now, 1_900));
        assert_eq!((due.len(), due[0].missing.as_ref()), (1, None));
    }

    #[test]
    fn one_that_says_more_than_came_waits_for_another_association_and_then_lacks_slices() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.add(image("s", "1", Some(2), now));
        assert!(table.released("s").is_none());
        let due = table.due(after(now, 1_000)).remove(0);
        assert_eq!(due.missing.as_deref(), Some("missing slices: 1 of 2 images came"));
    }

    #[test]
    fn an_aborted_one_may_be_sent_again() {
        for expected in [None, Some(2)] {
            let (mut table, now) = (Table::new(LIMITS), Instant::now());
            table.add(image("s", "1", expected, now));
            table.aborted("s", now);
            assert!(table.due(after(now, 9_999)).is_empty());
            let mut lost = Table { series: table.series.clone(), ..table };
            let why = lost.due(after(now, 10_000)).remove(0).missing.unwrap();
            assert!(why.starts_with("missing slices"), "{why}");
            table.add(image("s", "1", expected, after(now, 9_999)));
            let whole =
                table.add(image("s", "2", expected, after(now, 9_999))).or_else(|| table.released("s"));
            assert!(whole.unwrap().missing.is_none());
        }
    }

    #[test]
    fn a_refused_image_makes_its_series_incomplete_until_it_comes_again() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.refuse("s", "1", "cut off", now);
        table.add(image("s", "2", None, now));
        let mut again = Table { series: table.series.clone(), ..table };
        assert!(table.released("s").unwrap().missing.unwrap().contains("cut off"));
        again.add(image("s", "1", None, now));
        assert!(again.released("s").unwrap().missing.is_none());
        again.refuse("only", "1", "cut off", now);
        assert!(again.released("only").is_none() && again.len() == 0, "nothing of it was taken");
    }

    #[test]
    fn series_images_and_bytes_are_bounded() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        for instance in ["1", "2", "3", "4"] {
            table.add(image("s", instance, None, now));
        }
        assert_eq!(table.admits(&image("s", "5", None, now)), Err(Refusal::TooLarge(4, "images")));
        table.add(image("t", "1", None, now));
        let large = Image { bytes: 91, ..image("t", "2", None, now) };
        assert_eq!(table.admits(&large), Err(Refusal::TooLarge(100, "bytes")));
        assert_eq!(table.admits(&image("u", "1", None, now)), Err(Refusal::Busy(2)));
        table.refuse("u", "1", "odd", now);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn what_could_not_be_handed_on_is_tried_again() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        let whole = table.add(image("s", "1", Some(1), now)).unwrap();
        table.put_back(whole, after(now, 500));
        assert!(table.due(after(now, 499)).is_empty());
        assert!(table.due(after(now, 500)).remove(0).missing.is_none());
    }
}
