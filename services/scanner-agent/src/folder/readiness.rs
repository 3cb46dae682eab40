//! When something in a watched folder is ready to be read. Pure: a state machine whose clock is told.
//!
//! - A file that was renamed into place, or whose writer closed it, is read at once.
//! - Anything else, as soon as it has not changed for [`Rules::quiet`]: network shares tell nothing.
//! - What ends with zeros may be a file whose size was set before its content was written: it must not have changed for
//!   [`Rules::quiet`] since it was closed, or for [`Rules::patience`] when no close was reported.
//! - What cannot be read, but may be because it is still being written, is read again when it changes, and given up when
//!   it has not for [`Rules::patience`].
//! - Single slices wait for the others of their series: until there are as many as they say, or none came for
//!   [`Rules::gather`]. Slices that make no volume then wait for more, as what cannot be read does.
//! - What changes slowly, a folder or the slices of a series, is waited for longer: twice its longest pause.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::listing::{Entry, Listing};
use super::watch::Finished;
use crate::images::quiet_after;

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Without a change a file is taken to be whole.
    pub quiet: Duration,
    /// Without a change a folder, or a series that states no count, is taken to be whole.
    pub gather: Duration,
    /// Without a change it will never be whole.
    pub patience: Duration,
    /// Before something that failed for now is tried again.
    pub again: Duration,
    /// How many are worked on at once.
    pub at_once: usize,
}

/// Something to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// One entry, or the slices of one series.
    pub names: Vec<String>,
    /// What is not whole now never will be.
    pub is_last: bool,
    /// It is whole even if it ends with zeros: it was renamed into place, or has not changed for long enough.
    pub is_settled: bool,
    /// Each of them was found to be a slice.
    pub is_series: bool,
}

/// What became of something that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone from the folder.
    Moved,
    /// It is not whole, and may become so.
    MayGrow,
    /// It ends with zeros, as a file does whose size was set before its content was written.
    Hollow,
    /// It is one slice of this series, which has so many files if it says so.
    Slice(String, Option<usize>),
    /// Something else is in the way, for now.
    Again,
}

/// What is known of the entries.
#[derive(Debug)]
pub struct Readiness {
    rules: Rules,
    entries: BTreeMap<String, State>,
}

#[derive(Debug, Clone)]
struct State {
    print: u64,
    changed: Instant,
    /// How it was said to be whole.
    finished: Option<Finished>,
    /// As it was when it was last read.
    read: Option<u64>,
    slice: Option<(String, Option<usize>)>,
    /// With the slices that were there it made no volume.
    was_gathered: bool,
    /// The longest time between two changes.
    pause: Duration,
    is_folder: bool,
    is_busy: bool,
    not_before: Instant,
}

impl Readiness {
    /// Nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, entries: BTreeMap::new() }
    }

    /// What is ready, of what lies there now. `finished`: names that were renamed into place or closed.
    pub fn step(
        &mut self,
        listing: &Listing,
        finished: &HashMap<String, Finished>,
        now: Instant,
    ) -> Vec<Ready> {
        self.entries.retain(|name, state| state.is_busy || listing.entries.contains_key(name));
        for (name, entry) in &listing.entries {
            let new = State::new(entry, now);
            let state = self.entries.entry(name.clone()).or_insert_with(|| new.clone());
            if state.print != entry.print {
                let State { is_busy, not_before, .. } = *state;
                // A longer one was no pause: it was given up then.
                let pause = Some(now - state.changed).filter(|pause| *pause < self.rules.patience);
                let pause = state.pause.max(pause.unwrap_or_default());
                *state = State { is_busy, not_before, pause, ..new };
            }
            // A folder is filled file by file: that one of them is whole says nothing.
            if !entry.is_folder
                && let Some(&how) = finished.get(name)
            {
                state.finished = Some(how);
            }
        }
        let mut room = self.rules.at_once.saturating_sub(self.entries.values().filter(|s| s.is_busy).count());
        let mut ready = self.series(now);
        ready.extend(self.entries.iter().filter_map(|(name, state)| {
            let is_last = state.is_ready(&self.rules, now)?;
            let is_settled = is_last || now >= state.settles(&self.rules);
            Some(Ready { names: vec![name.clone()], is_last, is_settled, is_series: false })
        }));
        ready.retain(|ready| {
            let fits = room > 0;
            room = room.saturating_sub(ready.names.len());
            fits
        });
        for name in ready.iter().flat_map(|ready| &ready.names) {
            if let Some(state) = self.entries.get_mut(name) {
                state.is_busy = true;
                state.read = Some(state.print);
            }
        }
        ready
    }

    /// Series of slices that are complete, or will never be.
    fn series(&self, now: Instant) -> Vec<Ready> {
        let mut series = BTreeMap::<&str, Slices<'_>>::new();
        for (name, state) in &self.entries {
            let Some((uid, expected)) = &state.slice else { continue };
            if state.is_busy || now < state.not_before {
                continue;
            }
            let slices = series.entry(uid).or_default();
            slices.names.push(name);
            slices.expected = slices.expected.max(*expected);
            slices.changed.push(state.changed);
            slices.is_new |= !state.was_gathered;
        }
        series.into_values().filter_map(|slices| slices.ready(&self.rules, now)).collect()
    }

    /// What became of something.
    pub fn done(&mut self, names: &[String], outcome: &Outcome, now: Instant) {
        let rules = self.rules;
        for name in names {
            let Some(state) = self.entries.get_mut(name) else { continue };
            state.is_busy = false;
            match outcome {
                Outcome::Moved => {
                    self.entries.remove(name);
                }
                // It may have changed since it was read.
                Outcome::MayGrow => {
                    state.finished = None;
                    state.was_gathered = state.slice.is_some();
                }
                Outcome::Hollow => (state.read, state.not_before) = (None, state.settles(&rules)),
                Outcome::Slice(series, expected) if state.read == Some(state.print) => {
                    state.slice = Some((series.clone(), *expected));
                }
                Outcome::Slice(..) => {}
                Outcome::Again => {
                    (state.read, state.not_before) = (None, now + self.rules.again);
                }
            }
        }
    }

    /// Whether something waits to become ready.
    pub fn is_waiting(&self) -> bool {
        self.entries.values().any(|state| !state.is_busy)
    }
}

/// Slices of one series.
#[derive(Default)]
struct Slices<'a> {
    names: Vec<&'a str>,
    /// How many they say that there are.
    expected: Option<usize>,
    /// When each came.
    changed: Vec<Instant>,
    /// One of them has not been read together with the others.
    is_new: bool,
}

impl Slices<'_> {
    fn ready(mut self, rules: &Rules, now: Instant) -> Option<Ready> {
        self.changed.sort_unstable();
        let waited = now.duration_since(*self.changed.last()?);
        let pause = self.changed.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let is_counted = self.expected.is_some_and(|expected| self.names.len() >= expected);
        let is_quiet = self.expected.is_none() && waited >= rules.gather_after(pause);
        let is_last = is_counted || waited >= rules.patience;
        let names = self.names.into_iter().map(str::to_owned).collect();
        let is_ready = is_last || (is_quiet && self.is_new);
        is_ready.then_some(Ready { names, is_last, is_settled: true, is_series: true })
    }
}

impl Rules {
    /// How long something that comes in parts is waited for.
    fn gather_after(&self, pause: Duration) -> Duration {
        quiet_after(pause, self.gather, self.patience)
    }
}

impl State {
    fn new(entry: &Entry, now: Instant) -> Self {
        let Entry { is_folder, print, .. } = *entry;
        let (finished, read, slice, pause) = Default::default();
        let (was_gathered, is_busy) = (false, false);
        let (changed, not_before) = (now, now);
        Self { print, changed, finished, read, slice, was_gathered, pause, is_folder, is_busy, not_before }
    }

    /// From when on it is whole even if it ends with zeros.
    fn settles(&self, rules: &Rules) -> Instant {
        self.changed
            + match self.finished {
                Some(Finished::Renamed) => Duration::ZERO,
                Some(Finished::Closed) => rules.quiet,
                None => rules.patience,
            }
    }

    /// Whether it is ready, and then whether for the last time.
    fn is_ready(&self, rules: &Rules, now: Instant) -> Option<bool> {
        let waited = now.duration_since(self.changed);
        let is_last = waited >= rules.patience;
        let quiet = if self.is_folder { rules.gather_after(self.pause) } else { rules.quiet };
        let is_quiet = self.finished.is_some() || waited >= quiet;
        let is_new = self.read != Some(self.print);
        let is_free = !self.is_busy && self.slice.is_none() && now >= self.not_before;
        (is_free && ((is_quiet && is_new) || is_last)).then_some(is_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        quiet: Duration::from_secs(2),
        gather: Duration::from_secs(2),
        patience: Duration::from_secs(30),
        again: Duration::from_secs(1),
        at_once: 8,
    };

    fn listing(entries: &[(&str, u64)]) -> Listing {
        let entry = |&(name, print): &(&str, u64)| {
            let is_folder = name.ends_with('/');
            (name.to_owned(), Entry { is_folder, files: vec![name.into()], print })
        };
        Listing { entries: entries.iter().map(entry).collect(), ..Listing::default() }
    }

    struct Folder {
        readiness: Readiness,
        begun: Instant,
    }

    impl Folder {
        fn new() -> Self {
            Self { readiness: Readiness::new(RULES), begun: Instant::now() }
        }

        fn step(&mut self, ms: u64, entries: &[(&str, u64)], told: &[&str]) -> Vec<(String, bool)> {
            let renamed = |&name: &&str| (name.to_owned(), Finished::Renamed);
            self.step_as(ms, entries, &told.iter().map(renamed).collect())
        }

        fn step_as(
            &mut self,
            ms: u64,
            entries: &[(&str, u64)],
            finished: &HashMap<String, Finished>,
        ) -> Vec<(String, bool)> {
            let now = self.begun + Duration::from_millis(ms);
            let ready = self.readiness.step(&listing(entries), finished, now);
            ready.into_iter().map(|ready| (ready.names.join("+"), ready.is_last)).collect()
        }

        fn done(&mut self, ms: u64, name: &str, outcome: &Outcome) {
            let names: Vec<String> = name.split('+').map(str::to_owned).collect();
            self.readiness.done(&names, outcome, self.begun + Duration::from_millis(ms));
        }
    }

    fn once(name: &str) -> Vec<(String, bool)> {
        vec![(name.to_owned(), false)]
    }

    #[test]
    fn a_file_that_grows_is_left_alone_until_it_is_quiet() {
        let mut folder = Folder::new();
        for (ms, print) in [(0, 1), (1_900, 2), (3_800, 3)] {
            assert!(folder.step(ms, &[("a", print)], &[]).is_empty());
        }
        assert_eq!(folder.step(5_800, &[("a", 3)], &[]), once("a"));
        assert!(folder.step(60_000, &[("a", 3)], &[]).is_empty(), "it is being read");
    }

    #[test]
    fn a_file_renamed_into_place_is_read_at_once_and_a_folder_is_not() {
        let mut folder = Folder::new();
        assert_eq!(folder.step(0, &[("a", 1), ("b/", 1)], &["a", "b/"]), once("a"));
        assert_eq!(folder.step(2_000, &[("a", 1), ("b/", 1)], &[]), once("b/"));
    }

    #[test]
    fn a_half_written_one_is_read_again_when_it_changes_and_given_up_after_a_while() {
        let mut folder = Folder::new();
        assert_eq!(folder.step(0, &[("a", 1)], &["a"]), once("a"));
        folder.done(10, "a", &Outcome::MayGrow);
        assert!(folder.step(20_000, &[("a", 1)], &[]).is_empty());
        assert!(folder.step(20_100, &[("a", 2)], &[]).is_empty());
        assert_eq!(folder.step(22_100, &[("a", 2)], &[]), once("a"));
        folder.done(22_200, "a", &Outcome::MayGrow);
        assert!(folder.step(50_000, &[("a", 2)], &[]).is_empty());
        assert_eq!(folder.step(50_100, &[("a", 2)], &[]), [("a".to_owned(), true)]);
    }

    #[test]
    fn a_file_that_ends_with_zeros_has_to_settle_first() {
        let closed = HashMap::from([("a".to_owned(), Finished::Closed)]);
        for (finished, settled) in [(closed, 2_000), (HashMap::new(), 30_000)] {
            let mut folder = Folder::new();
            folder.step_as(0, &[("a", 1)], &finished);
            folder.step_as(2_000, &[("a", 1)], &HashMap::new());
            folder.done(2_000, "a", &Outcome::Hollow);
            assert!(settled == 2_000 || folder.step(settled - 1, &[("a", 1)], &[]).is_empty());
            let now = folder.begun + Duration::from_millis(settled);
            let ready = folder.readiness.step(&listing(&[("a", 1)]), &HashMap::new(), now);
            assert!(ready[0].is_settled, "after {settled} ms");
        }
        let mut folder = Folder::new();
        let renamed = HashMap::from([("a".to_owned(), Finished::Renamed)]);
        assert!(folder.readiness.step(&listing(&[("a", 1)]), &renamed, folder.begun)[0].is_settled);
    }

    #[test]
    fn slices_wait_for_as_many_as_they_say_or_until_no_more_come() {
        let mut folder = Folder::new();
        let some = [("a", 1), ("b", 1), ("c", 1), ("d", 1)];
        assert_eq!(folder.step(0, &some, &["a", "b", "c", "d"]).len(), 4);
        for (name, series, expected) in
            [("a", "s", Some(2)), ("b", "s", Some(2)), ("c", "t", Some(2)), ("d", "u", None)]
        {
            folder.done(0, name, &Outcome::Slice(series.into(), expected));
        }
        assert_eq!(folder.step(100, &some, &[]), [("a+b".to_owned(), true)]);
        assert_eq!(folder.step(2_000, &some, &[]), [("d".to_owned(), false)]);
        assert_eq!(folder.step(30_000, &some, &[]), [("c".to_owned(), true)]);
        folder.done(30_000, "a+b", &Outcome::Moved);
        assert!(folder.step(30_001, &some[2..], &[]).is_empty());
    }

    #[test]
    fn slices_that_make_no_volume_wait_for_more() {
        let mut folder = Folder::new();
        let slice = |folder: &mut Folder, ms, name| {
            folder.done(ms, name, &Outcome::Slice("s".into(), None));
        };
        folder.step(0, &[("a", 1)], &["a"]);
        slice(&mut folder, 0, "a");
        assert_eq!(folder.step(2_000, &[("a", 1)], &[]), once("a"));
        folder.done(2_000, "a", &Outcome::MayGrow);
        let both = [("a", 1), ("b", 1)];
        assert_eq!(folder.step(5_000, &both, &["b"]), once("b"), "the first is not read again");
        slice(&mut folder, 5_000, "b");
        assert!(folder.step(14_999, &both, &[]).is_empty(), "the second took 5 s to come");
        assert_eq!(folder.step(15_000, &both, &[]), once("a+b"));
        folder.done(15_000, "a+b", &Outcome::MayGrow);
        assert!(folder.step(34_999, &both, &[]).is_empty());
        assert_eq!(folder.step(35_000, &both, &[]), [("a+b".to_owned(), true)]);
    }

    #[test]
    fn a_folder_that_fills_slowly_is_waited_for() {
        let mut folder = Folder::new();
        for (ms, print) in [(0, 1), (1_500, 2), (3_000, 3)] {
            assert!(folder.step(ms, &[("b/", print)], &[]).is_empty());
        }
        assert!(folder.step(5_999, &[("b/", 3)], &[]).is_empty());
        assert_eq!(folder.step(6_000, &[("b/", 3)], &[]), once("b/"));
    }

    #[test]
    fn what_failed_for_now_is_tried_again_after_a_pause_and_few_are_worked_on_at_once() {
        let mut folder = Folder::new();
        let names: Vec<String> = (0..20).map(|i| format!("{i:02}")).collect();
        let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        folder.step(0, &many, &[]);
        assert_eq!(folder.step(2_000, &many, &[]).len(), 8);
        assert!(folder.step(2_001, &many, &[]).is_empty());
        folder.done(2_002, "00", &Outcome::Again);
        assert_eq!(folder.step(2_003, &many, &[]), once("08"));
        folder.done(3_000, "01", &Outcome::Moved);
        assert_eq!(folder.step(3_002, &many, &[]), once("00"));
    }

    #[test]
    fn what_went_away_is_forgotten() {
        let mut folder = Folder::new();
        folder.step(0, &[("a", 1)], &[]);
        folder.step(1_000, &[], &[]);
        assert!(!folder.readiness.is_waiting());
        assert!(folder.step(2_000, &[("a", 1)], &[]).is_empty(), "it is new");
    }
}
