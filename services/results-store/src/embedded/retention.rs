//! What of the rows is kept. Pure: when a segment is begun, and when the oldest is removed.
//!
//! Age counts from when a row was stored, by the store's own clock, as it does in Cassandra: a row that arrives late is
//! kept as long as any other, and the clock of a scanner does not matter. A segment was complete when the next one was
//! begun.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Segments that share what is kept: each is a tenth of the time, or of the disk. So up to a tenth more time is kept,
/// and up to two tenths less disk used.
const PORTIONS: u32 = 10;
/// How long the clock must have been steady before anything is removed because of its age: a machine whose battery is
/// empty starts with a wrong time, and corrects it from the network.
const STEADY: Duration = Duration::from_secs(3_600);
/// What the time of day may lose or gain against the machine's own clock; more is a correction.
const JUMP: Duration = Duration::from_secs(60);

/// What the embedded store keeps.
#[derive(Clone, Debug)]
pub struct Keep {
    /// At least how long after they were stored rows are kept.
    pub age: Duration,
    /// Disk that it may use, in bytes. `None`: no limit.
    pub bytes: Option<u64>,
    /// How often it looks.
    pub check: Duration,
}

/// 400 days, as on a database, and no limit of the disk.
impl Default for Keep {
    fn default() -> Self {
        Self { age: Duration::from_hours(400 * 24), bytes: None, check: Duration::from_secs(10) }
    }
}

/// What a store is at one moment.
#[derive(Debug)]
pub(super) struct State {
    /// When each segment was begun, the oldest first.
    pub begun: Vec<Timestamp>,
    /// Disk that the open segment uses. `None` when it has no row.
    pub open_bytes: Option<u64>,
    /// Disk that all of the folder uses.
    pub used: u64,
    pub now: Timestamp,
    /// Whether `now` may be trusted.
    pub is_steady: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// Begin a new segment.
    Begin,
    /// Remove the oldest segment.
    Remove(Reason),
}

/// Why rows are removed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reason {
    Age,
    Size,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
        }
    }
}

impl Keep {
    /// The next thing to do, if any.
    pub(super) fn step(&self, state: &State) -> Option<Step> {
        let &State { ref begun, open_bytes, used, now, is_steady } = state;
        let (open, rest) = begun.split_last()?;
        // Before anything is begun, which takes room that a full disk does not have.
        if !rest.is_empty() && self.is_full(used) {
            return Some(Step::Remove(Reason::Size));
        }
        if let Some(bytes) = open_bytes {
            let share = self.share();
            let is_large = share.is_some_and(|share| bytes >= share);
            let age = now.duration_since(*open);
            // Begun in the future: by a clock that was wrong.
            let is_old = age >= signed(self.age / PORTIONS) || age <= -signed(self.age / PORTIONS);
            if is_large || is_steady && is_old {
                return Some(Step::Begin);
            }
        }
        if rest.is_empty() {
            return None;
        }
        // A wrong clock may have begun a segment in the future; those after it show that it was not.
        let complete_at = begun[1..].iter().min()?;
        let is_over = is_steady && now.duration_since(*complete_at) >= signed(self.age);
        is_over.then_some(Step::Remove(Reason::Age))
    }

    /// Whether there is less room than a segment may need until it is complete.
    pub(super) fn is_full(&self, used: u64) -> bool {
        let room = |limit: u64| limit.saturating_sub(used);
        self.bytes.zip(self.share()).is_some_and(|(limit, share)| room(limit) < share)
    }

    /// Whether rows will soon be removed for their size.
    pub(super) fn is_nearly_full(&self, used: u64) -> bool {
        self.share().is_some_and(|share| self.is_full(used + share))
    }

    fn share(&self) -> Option<u64> {
        self.bytes.map(|limit| limit / u64::from(PORTIONS))
    }

    /// How long the clock must be steady.
    fn steady(&self) -> Duration {
        STEADY.min(self.age / PORTIONS)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Notices when the time of day is corrected.
pub(super) struct Clock {
    since: (Instant, Timestamp),
}

impl Clock {
    pub fn new(monotonic: Instant, now: Timestamp) -> Self {
        Self { since: (monotonic, now) }
    }

    /// Whether the time of day was steady for long enough.
    pub fn is_steady(&mut self, keep: &Keep, monotonic: Instant, now: Timestamp) -> bool {
        let (begun, at) = self.since;
        let elapsed = monotonic.saturating_duration_since(begun);
        let gained = now.duration_since(at) - signed(elapsed);
        if gained.unsigned_abs() > JUMP {
            tracing::warn!(
                seconds = gained.as_secs(),
                "the time of day was corrected; no row is removed for its age for an hour"
            );
            self.since = (monotonic, now);
            return false;
        }
        elapsed >= keep.steady()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const GIB: u64 = 1 << 30;

    fn day(day: i64) -> Timestamp {
        Timestamp::constant(1_767_225_600 + day * DAY, 0)
    }

    fn keep(days: u64, bytes: Option<u64>) -> Keep {
        Keep { age: Duration::from_hours(24 * days), bytes, ..Keep::default() }
    }

    /// Segments that were begun on these days, on day `now`.
    fn state(begun: &[i64], now: i64) -> State {
        let begun = begun.iter().map(|at| day(*at)).collect();
        State { begun, open_bytes: Some(1 << 20), used: 0, now: day(now), is_steady: true }
    }

    #[test]
    fn a_segment_is_begun_for_each_tenth_of_the_time() {
        let keep = keep(400, None);
        assert_eq!(keep.step(&state(&[0], 39)), None);
        assert_eq!(keep.step(&state(&[0], 40)), Some(Step::Begin));
        assert_eq!(keep.step(&state(&[0, 40], 79)), None);
        assert_eq!(
            keep.step(&State { open_bytes: None, ..state(&[0], 1_000) }),
            None,
            "nothing to keep apart"
        );
    }

    #[test]
    fn rows_are_kept_for_all_of_the_time_and_a_tenth_more_at_most() {
        let keep = keep(400, None);
        // The row that was stored last in the first segment is from day 40.
        assert_eq!(keep.step(&state(&[0, 40, 410], 439)), None);
        assert_eq!(keep.step(&state(&[0, 40, 410], 440)), Some(Step::Remove(Reason::Age)));
        let idle = State { open_bytes: None, ..state(&[0, 40], 440) };
        assert_eq!(keep.step(&idle), Some(Step::Remove(Reason::Age)), "also when nothing is stored any more");
        assert_eq!(keep.step(&State { open_bytes: None, ..state(&[0], 9_000) }), None);
    }

    #[test]
    fn the_size_is_kept_with_room_for_one_more_segment() {
        let keep = keep(400, Some(10 * GIB));
        let state = |open_bytes, used| State { open_bytes: Some(open_bytes), used, ..state(&[0, 1], 2) };
        assert_eq!(keep.step(&state(GIB - 1, 9 * GIB)), None);
        assert_eq!(keep.step(&state(GIB, 9 * GIB)), Some(Step::Begin));
        assert_eq!(keep.step(&state(0, 9 * GIB + 1)), Some(Step::Remove(Reason::Size)));
        assert!(keep.is_nearly_full(8 * GIB + 1) && !keep.is_nearly_full(8 * GIB));
        let alone = State { begun: vec![day(0)], ..state(0, 99 * GIB) };
        assert_eq!(keep.step(&alone), None, "what is written now is never removed");
    }

    #[test]
    fn a_clock_that_was_wrong_removes_nothing_too_early_and_keeps_nothing_for_ever() {
        let keep = keep(400, None);
        // The second segment was begun in 2055; the third shows that the first was complete on day 50.
        assert_eq!(keep.step(&state(&[0, 10_600, 50], 449)), Some(Step::Begin));
        let idle = |begun: &[i64], now| State { open_bytes: None, ..state(begun, now) };
        assert_eq!(keep.step(&idle(&[0, 10_600, 50], 449)), None);
        assert_eq!(keep.step(&idle(&[0, 10_600, 50], 450)), Some(Step::Remove(Reason::Age)));
        assert_eq!(keep.step(&state(&[10_600], 50)), Some(Step::Begin), "the open one is from the future");
        let unsure = State { is_steady: false, ..state(&[0, 40], 10_600) };
        assert_eq!(keep.step(&unsure), None, "it may be the clock");
    }

    #[test]
    fn the_clock_is_trusted_after_an_hour_without_a_correction() {
        let (keep, begun) = (keep(400, None), Instant::now());
        let later = |seconds: i64| begun + Duration::from_secs(seconds.unsigned_abs());
        let at = |seconds: i64| day(0) + SignedDuration::from_secs(seconds);
        let mut clock = Clock::new(begun, at(0));
        assert!(!clock.is_steady(&keep, later(3_599), at(3_599)));
        assert!(clock.is_steady(&keep, later(3_600), at(3_650)), "a clock may be a little off");
        assert!(!clock.is_steady(&keep, later(4_000), at(4_000 + 300 * DAY)), "corrected");
        assert!(!clock.is_steady(&keep, later(7_599), at(7_599 + 300 * DAY)));
        assert!(clock.is_steady(&keep, later(7_600), at(7_600 + 300 * DAY)));
        assert!(!clock.is_steady(&keep, later(8_000), at(8_000)), "and back");
    }
}
