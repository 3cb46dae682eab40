//! When a series is whole. Pure: a state machine whose clock is told.
//!
//! A series is whole when it has as many images as it states (ImagesInAcquisition, or one with several slices), or as its
//! line has. If nothing says how many: as its line is configured ([`Complete`]), usually after [`Limits::idle`] without an
//! image. A series that has fewer images than stated, whose association broke, or whose images make no volume may be
//! completed for [`Limits::again`], which does not pass while one of its senders is connected; then slices are missing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use ovomesh_api::intake::Complete;
use ovomesh_imaging::dicom::{Acquired, Acquisition, Attributes, is_whole_acquisition};
use ovomesh_intake::ImageOrigin;
use tokio::time::Instant;

use crate::images::{quiet_after, room_to_read};

/// Decided series whose images are known, so that a repeat is no work and another image in its place is noticed.
const DECIDED: usize = 256;

/// What is bounded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series that are being put together.
    pub series: usize,
    /// Images of a series.
    pub images: usize,
    /// Bytes of a series.
    pub bytes: u64,
    /// A series that states no count and gets no image for so long is whole.
    pub idle: Duration,
    /// A series that is not whole may be completed for so long.
    pub again: Duration,
}

/// An association, in the order in which they were opened.
pub type AssociationId = u64;

/// One image.
#[derive(Debug, Clone)]
pub struct Image {
    /// SeriesInstanceUID.
    pub series: String,
    /// SOPInstanceUID.
    pub instance: String,
    /// Differs between images that differ.
    pub digest: u64,
    /// Its size.
    pub bytes: u64,
    /// The size of its samples.
    pub sample_bytes: u64,
    /// Slices in it.
    pub frames: usize,
    /// How many images its series has, if it says so.
    pub expected: Option<usize>,
    /// The acquisition that this count may be of.
    pub acquisition: Option<Acquisition>,
    /// When its series is whole, by its line.
    pub complete: Complete,
    /// What is known of its series by it.
    pub about: About,
    /// The association that sent it; none after a restart.
    pub association: Option<AssociationId>,
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
    /// When it was found to be whole.
    pub at: Instant,
    /// Why it is not whole.
    pub missing: Option<String>,
    /// It may yet be completed, if it makes no volume.
    pub may_grow: bool,
    pending: Pending,
}

impl Gathered {
    /// The memory that it takes to read it.
    pub fn room(&self) -> u64 {
        room_to_read(self.pending.bytes, self.pending.sample_bytes)
    }
}

/// How an image stands to those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not there yet.
    New,
    /// It is there.
    Repeat,
    /// It is there, and its series is decided.
    Decided,
    /// Another image is there with its SOPInstanceUID.
    Other,
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
    /// The images of the latest decided series.
    decided: VecDeque<(String, HashMap<String, u64>)>,
}

#[derive(Debug, Clone)]
struct Pending {
    /// The digest of each image.
    instances: HashMap<String, u64>,
    /// Images that could not be used.
    refused: HashMap<String, String>,
    /// Two images that differ came with one SOPInstanceUID.
    conflict: Option<String>,
    /// Its images make no volume.
    problem: Option<String>,
    bytes: u64,
    sample_bytes: u64,
    frames: usize,
    expected: Option<usize>,
    acquisition: Option<Acquisition>,
    complete: Complete,
    about: Option<About>,
    /// Associations that sent images of it and are open.
    senders: HashSet<AssociationId>,
    /// One of them broke; it is made good by one that was opened after this one.
    aborted: Option<AssociationId>,
    /// The longest time between two of its images.
    pause: Duration,
    /// When its last image came.
    at: Instant,
    /// When something last happened to it.
    since: Instant,
    /// It is not looked at before.
    not_before: Instant,
}

impl Table {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, series: HashMap::new(), decided: VecDeque::new() }
    }

    /// How an image stands to those that are there, if there is room for it.
    pub fn admits(&self, image: &Image) -> Result<Standing, Refusal> {
        let Some(pending) = self.series.get(&image.series) else {
            let before = self.decided.iter().find(|(series, _)| *series == image.series);
            return match before.and_then(|(_, instances)| instances.get(&image.instance)) {
                Some(&digest) if digest == image.digest => Ok(Standing::Decided),
                Some(_) => Ok(Standing::Other),
                None if self.series.len() >= self.limits.series => Err(Refusal::Busy(self.series.len())),
                None => Ok(Standing::New),
            };
        };
        match pending.instances.get(&image.instance) {
            Some(&digest) if digest == image.digest => return Ok(Standing::Repeat),
            Some(_) => return Ok(Standing::Other),
            None => {}
        }
        if pending.instances.len() >= self.limits.images {
            return Err(Refusal::TooLarge(self.limits.images as u64, "images"));
        }
        if pending.bytes + image.bytes > self.limits.bytes {
            return Err(Refusal::TooLarge(self.limits.bytes, "bytes"));
        }
        Ok(Standing::New)
    }

    /// Whether a series has been found to have two images with one SOPInstanceUID.
    pub fn has_conflict(&self, series: &str) -> bool {
        self.series.get(series).is_some_and(|pending| pending.conflict.is_some())
    }

    /// An image that is on disk; its series, when that is whole.
    pub fn add(&mut self, image: Image) -> Option<Gathered> {
        let pending = self.series.entry(image.series.clone()).or_insert_with(|| Pending::new(image.at));
        pending.refused.remove(&image.instance);
        match pending.instances.entry(image.instance) {
            Entry::Vacant(vacant) => {
                vacant.insert(image.digest);
                pending.bytes += image.bytes;
                pending.sample_bytes += image.sample_bytes;
                pending.frames += image.frames;
                pending.problem = None;
            }
            Entry::Occupied(there) if *there.get() != image.digest => {
                pending.conflict =
                    Some(format!("two images that differ have the SOPInstanceUID {}", there.key()));
            }
            Entry::Occupied(_) => {}
        }
        pending.expected = pending.expected.max(image.expected);
        pending.acquisition = image.acquisition.or(pending.acquisition.take());
        pending.complete = image.complete;
        pending.about.get_or_insert(image.about);
        pending.senders.extend(image.association);
        if image.association > pending.aborted {
            pending.aborted = None;
        }
        if pending.instances.len() > 1 {
            pending.pause = pending.pause.max(image.at.saturating_duration_since(pending.at));
        }
        (pending.at, pending.since) = (image.at, image.at);
        if !pending.refused.is_empty() || !pending.is_counted() {
            return None;
        }
        let fault = pending.fault();
        self.gather(&image.series, fault, image.at)
    }

    /// An image that could not be used: without another one in its place its series is not whole. `about`: what it says
    /// of its series all the same.
    pub fn refuse(
        &mut self,
        series: &str,
        instance: &str,
        why: &str,
        about: Option<About>,
        association: Option<AssociationId>,
        now: Instant,
    ) {
        if !self.series.contains_key(series) && self.series.len() >= self.limits.series {
            return;
        }
        let images = self.limits.images;
        let pending = self.series.entry(series.to_owned()).or_insert_with(|| Pending::new(now));
        pending.since = now;
        pending.senders.extend(association);
        if pending.about.is_none() {
            pending.about = about;
        }
        if pending.refused.len() < images && !pending.instances.contains_key(instance) {
            pending.refused.insert(instance.to_owned(), why.to_owned());
        }
    }

    /// An association that had sent images of a series was released: the series, when that makes it whole.
    pub fn released(&mut self, series: &str, association: AssociationId, now: Instant) -> Option<Gathered> {
        let pending = self.series.get_mut(series)?;
        pending.senders.remove(&association);
        pending.since = now;
        if !pending.senders.is_empty() {
            return None;
        }
        // What was refused will not be better for waiting.
        let is_refused = !pending.refused.is_empty();
        let is_whole = pending.complete == Complete::Release && pending.expected.is_none();
        if !is_refused && (!is_whole || pending.aborted.is_some()) {
            return None;
        }
        let missing = pending.missing();
        self.gather(series, missing, now)
    }

    /// An association broke that had sent images of a series; `newest`: the last one that was opened.
    pub fn aborted(&mut self, series: &str, association: AssociationId, newest: AssociationId, now: Instant) {
        if let Some(pending) = self.series.get_mut(series) {
            pending.senders.remove(&association);
            pending.since = now;
            pending.aborted = Some(newest);
        }
    }

    /// Series whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<Gathered> {
        let mut due = Vec::new();
        for (series, pending) in self.series.iter().filter(|(_, pending)| pending.not_before <= now) {
            let siblings = || self.siblings(series, pending);
            let group = || siblings().map(|(_, other)| other).chain([pending]);
            let is_connected = group().any(|one| !one.senders.is_empty());
            let since = group().map(|one| one.since).fold(pending.since, Instant::max);
            let (waited, quiet) = (now.saturating_duration_since(since), pending.quiet(&self.limits));
            let (is_quiet, is_over) = (waited >= quiet, waited >= quiet.max(self.limits.again));
            let missing = pending.missing();
            if pending.is_short() {
                if is_quiet && pending.is_whole_with(siblings()) {
                    due.extend(siblings().map(|(other, it)| (other.clone(), it.fault())));
                    due.push((series.clone(), None));
                } else if is_over && !is_connected {
                    due.push((series.clone(), missing));
                }
            } else if missing.is_some() {
                if is_over || (is_quiet && !is_connected) {
                    due.push((series.clone(), missing));
                }
            } else if pending.aborted.is_some() || pending.problem.is_some() {
                if is_over {
                    let broken = || pending.broke_off(self.limits.again);
                    due.push((series.clone(), pending.problem.clone().or_else(broken)));
                }
            } else if is_quiet {
                due.push((series.clone(), None));
            }
        }
        due.into_iter().filter_map(|(series, missing)| self.gather(&series, missing, now)).collect()
    }

    /// A series that could not be handed on, to be tried again then.
    pub fn put_back(&mut self, gathered: Gathered, not_before: Instant) {
        let pending = Pending { not_before, ..gathered.pending };
        self.put(gathered.series, pending);
    }

    /// A series whose images make no volume, for this reason. More of them may come.
    pub fn wait_for_more(&mut self, gathered: Gathered, problem: String) {
        let pending = Pending { problem: Some(problem), ..gathered.pending };
        self.put(gathered.series, pending);
    }

    fn put(&mut self, series: String, pending: Pending) {
        match self.series.entry(series) {
            Entry::Vacant(place) => {
                place.insert(pending);
            }
            // Images of it came meanwhile: again, or late.
            Entry::Occupied(mut place) => {
                let newer = place.get_mut();
                for (instance, digest) in pending.instances {
                    newer.instances.entry(instance).or_insert(digest);
                }
                newer.expected = newer.expected.max(pending.expected);
                newer.bytes += pending.bytes;
                newer.sample_bytes += pending.sample_bytes;
                newer.frames += pending.frames;
            }
        }
    }

    /// A series was handed on.
    pub fn is_decided(&mut self, gathered: Gathered) {
        self.decided.retain(|(series, _)| *series != gathered.series);
        self.decided.push_back((gathered.series, gathered.pending.instances));
        if self.decided.len() > DECIDED {
            self.decided.pop_front();
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

    /// The other series of the same acquisition.
    fn siblings<'a>(
        &'a self,
        series: &'a str,
        pending: &'a Pending,
    ) -> impl Iterator<Item = (&'a String, &'a Pending)> {
        let own = pending.acquisition.as_ref();
        self.series.iter().filter(move |(name, other)| {
            let pair = own.zip(other.acquisition.as_ref());
            *name != series && pair.is_some_and(|(own, other)| own.is_part_of(other))
        })
    }

    fn gather(&mut self, series: &str, missing: Option<String>, at: Instant) -> Option<Gathered> {
        let pending = self.series.remove(series)?;
        // Nothing says whose it was.
        let about = pending.about.clone()?;
        let may_grow = pending.expected.is_none() && pending.complete.images().is_none();
        let may_grow = may_grow && pending.problem.is_none();
        Some(Gathered { series: series.to_owned(), about, at, missing, may_grow, pending })
    }
}

impl Pending {
    fn new(now: Instant) -> Self {
        Self {
            instances: HashMap::new(),
            refused: HashMap::new(),
            conflict: None,
            problem: None,
            bytes: 0,
            sample_bytes: 0,
            frames: 0,
            expected: None,
            acquisition: None,
            complete: Complete::default(),
            about: None,
            senders: HashSet::new(),
            aborted: None,
            pause: Duration::ZERO,
            at: now,
            since: now,
            not_before: now,
        }
    }

    /// How many images there are, and how many there should be.
    fn count(&self) -> Option<(usize, usize)> {
        match (self.complete.images(), self.expected) {
            (Some(images), _) => Some((self.frames, images)),
            (None, Some(expected)) => Some((self.instances.len(), expected)),
            (None, None) => None,
        }
    }

    fn is_counted(&self) -> bool {
        self.count().is_some_and(|(came, all)| came >= all)
    }

    fn is_short(&self) -> bool {
        self.count().is_some_and(|(came, all)| came < all)
    }

    /// How long it may get no image until it is whole.
    fn quiet(&self, limits: &Limits) -> Duration {
        match self.complete {
            Complete::Quiet(time) => time,
            _ => quiet_after(self.pause, limits.idle, limits.again),
        }
    }

    /// Whether what it and the others state is the number of all their images.
    fn is_whole_with<'a>(&'a self, siblings: impl Iterator<Item = (&'a String, &'a Self)>) -> bool {
        let part = |pending: &'a Self| pending.acquisition.as_ref().map(|own| (own, pending.instances.len()));
        let is_sound = self.fault().is_none();
        (is_sound && self.complete.images().is_none())
            && part(self).is_some_and(|own| is_whole_acquisition(own, siblings.filter_map(|(_, s)| part(s))))
    }

    /// What is wrong with the images that came.
    fn fault(&self) -> Option<String> {
        let refused = |(instance, why)| format!("missing slices: image {instance} was refused: {why}");
        self.conflict.clone().or_else(|| self.refused.iter().next().map(refused))
    }

    /// Why it is not whole, as far as that is certain.
    fn missing(&self) -> Option<String> {
        self.fault().or_else(|| {
            let (came, all) = self.count()?;
            (came < all).then(|| format!("missing slices: {came} of {all} images came"))
        })
    }

    fn broke_off(&self, again: Duration) -> Option<String> {
        let (came, again) = (self.instances.len(), again.as_secs());
        self.aborted.map(|_| {
            format!(
                "missing slices: the association was aborted after {came} images, and nothing came again within {again} s"
            )
        })
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
        Image {
            series: series.to_owned(),
            instance: instance.to_owned(),
            digest: 1,
            bytes: 10,
            sample_bytes: 10,
            frames: 1,
            expected,
            acquisition: None,
            complete: Complete::Count,
            about: About::default(),
            association: Some(1),
            at,
        }
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
        assert_eq!(table.admits(&image("s", "2", Some(3), now)), Ok(Standing::Repeat));
        let whole = table.add(image("s", "3", Some(3), now)).unwrap();
        assert_eq!((whole.missing.as_ref(), table.len()), (None, 0));
        table.is_decided(whole);
        assert_eq!(table.admits(&image("s", "2", Some(3), now)), Ok(Standing::Decided));
        assert_eq!(table.admits(&image("s", "4", Some(3), now)), Ok(Standing::New));
        assert!(table.add(image("one", "1", Some(1), now)).is_some(), "several slices in one image");
    }

    #[test]
    fn another_image_under_a_known_uid_is_noticed_and_its_series_has_no_verdict() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        let other = |at| Image { digest: 2, ..image("s", "1", Some(2), at) };
        table.add(image("s", "1", Some(2), now));
        assert_eq!(table.admits(&other(now)), Ok(Standing::Other));
        table.add(other(now));
        assert!(table.has_conflict("s"));
        let whole = table.add(image("s", "2", Some(2), now)).unwrap();
        assert!(whole.missing.as_ref().unwrap().contains("SOPInstanceUID 1"), "{:?}", whole.missing);
        table.is_decided(whole);
        assert_eq!(table.admits(&other(now)), Ok(Standing::Other), "also once it is decided");
    }

    #[test]
    fn one_that_does_not_say_is_whole_when_nothing_comes_for_longer_than_its_pauses() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.add(image("idle", "1", None, now));
        assert!(table.released("idle", 1, now).is_none(), "the next image may have its own association");
        table.add(Image { association: Some(2), ..image("idle", "2", None, after(now, 400)) });
        assert!(table.due(after(now, 1_399)).is_empty());
        let due = table.due(after(now, 1_400));
        assert_eq!((due.len(), due[0].missing.as_ref()), (1, None));
        for (i, at) in [0, 2_000, 4_000].into_iter().enumerate() {
            table.add(image("slow", &i.to_string(), None, after(now, at)));
        }
        assert!(table.due(after(now, 7_999)).is_empty(), "twice its pause");
        assert_eq!(table.due(after(now, 8_000)).len(), 1);
    }

    #[test]
    fn a_line_can_say_when_its_series_are_whole() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        let with = |complete, instance| Image { complete, ..image("s", instance, None, now) };
        table.add(with(Complete::Release, "1"));
        assert!(table.released("s", 1, now).unwrap().missing.is_none());
        let two = |instance| Image { expected: Some(4), ..with(Complete::Images(2), instance) };
        assert!(table.add(two("1")).is_none());
        assert!(table.add(two("2")).unwrap().missing.is_none(), "whatever its images state");
        table.add(with(Complete::Quiet(Duration::from_secs(3)), "1"));
        assert!(table.due(after(now, 2_999)).is_empty());
        assert_eq!(table.due(after(now, 3_000)).len(), 1);
    }

    #[test]
    fn one_that_says_more_than_came_waits_and_then_lacks_slices() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.add(image("s", "1", Some(2), now));
        assert!(table.due(after(now, 60_000)).is_empty(), "its sender is connected");
        assert!(table.released("s", 1, after(now, 60_000)).is_none());
        assert!(table.due(after(now, 69_999)).is_empty());
        let due = table.due(after(now, 70_000)).remove(0);
        assert_eq!(due.missing.as_deref(), Some("missing slices: 1 of 2 images came"));
    }

    #[test]
    fn a_count_of_several_series_makes_none_of_them_whole_that_has_a_fault_of_its_own() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        let part = |series: &str, instance| Image {
            acquisition: Some(Acquisition::example(4, series)),
            ..image(series, instance, Some(4), now)
        };
        for image in [part("water", "1"), part("water", "2"), part("fat", "3"), part("fat", "4")] {
            assert!(table.add(image).is_none());
        }
        table.add(Image { digest: 2, ..part("fat", "4") });
        let mut due = table.due(after(now, 1_000));
        due.sort_by(|a, b| a.series.cmp(&b.series));
        let missing: Vec<_> = due.iter().map(|gathered| (&gathered.series[..], &gathered.missing)).collect();
        let [("fat", Some(why)), ("water", None)] = &missing[..] else { panic!("{missing:?}") };
        assert!(why.contains("SOPInstanceUID 4"), "{why}");
    }

    #[test]
    fn images_that_make_no_volume_wait_for_more() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.add(image("s", "1", None, now));
        let gathered = table.due(after(now, 1_000)).remove(0);
        assert!(gathered.may_grow);
        table.wait_for_more(gathered, "1 slice".into());
        assert!(table.due(after(now, 5_000)).is_empty());
        table.add(image("s", "2", None, after(now, 5_000)));
        let gathered = table.due(after(now, 15_000)).remove(0);
        table.wait_for_more(gathered, "2 slices".into());
        let last = table.due(after(now, 15_000)).remove(0);
        assert_eq!((last.missing.as_deref(), last.may_grow), (Some("2 slices"), false));
    }

    #[test]
    fn an_aborted_one_may_be_sent_again() {
        for expected in [None, Some(2)] {
            let (mut table, now) = (Table::new(LIMITS), Instant::now());
            table.add(image("s", "1", expected, now));
            table.aborted("s", 1, 2, now);
            assert!(table.due(after(now, 9_999)).is_empty());
            let mut lost = Table { series: table.series.clone(), decided: VecDeque::new(), ..table };
            let why = lost.due(after(now, 10_000)).remove(0).missing.unwrap();
            assert!(why.starts_with("missing slices"), "{why}");
            table.add(Image { association: Some(2), ..image("s", "1", expected, after(now, 100)) });
            assert!(table.due(after(now, 1_100)).is_empty(), "2 was open when 1 broke, and sends on");
            let again =
                |instance| Image { association: Some(3), ..image("s", instance, expected, after(now, 200)) };
            table.add(again("1"));
            let whole = table.add(again("2")).or_else(|| table.due(after(now, 1_200)).pop());
            assert!(whole.unwrap().missing.is_none());
        }
    }

    #[test]
    fn a_refused_image_makes_its_series_incomplete_until_it_comes_again() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        table.refuse("s", "1", "cut off", None, Some(1), now);
        table.add(image("s", "2", None, now));
        let mut again = Table { series: table.series.clone(), decided: VecDeque::new(), ..table };
        assert!(table.released("s", 1, now).unwrap().missing.unwrap().contains("cut off"));
        again.add(image("s", "1", None, now));
        assert!(again.due(after(now, 1_000)).remove(0).missing.is_none());
        again.refuse("nobody's", "1", "cut off", None, Some(1), now);
        assert!(again.released("nobody's", 1, now).is_none() && again.len() == 0);
        again.refuse("only", "1", "cut off", Some(About::default()), Some(1), now);
        let only = again.released("only", 1, now).unwrap();
        assert!(only.missing.unwrap().contains("cut off"), "its egg is known");
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
        table.refuse("u", "1", "odd", None, Some(1), now);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn what_could_not_be_handed_on_is_tried_again() {
        let (mut table, now) = (Table::new(LIMITS), Instant::now());
        let whole = table.add(image("s", "1", Some(1), now)).unwrap();
        table.put_back(whole, after(now, 1_500));
        assert!(table.due(after(now, 1_499)).is_empty());
        assert!(table.due(after(now, 1_500)).remove(0).missing.is_none());
    }
}
