//! Whether more scans come than get through, and have for a while: what comes then is turned away before it is read.
//!
//! A queue that only ever grows to a tray and empties again is good; one that stands makes every answer late and helps
//! nobody. Delay tells the two apart, whatever the rate is (K. Nichols and V. Jacobson, "Controlling Queue Delay", ACM
//! Queue 10(5), 2012, from which the terms are).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Scans may wait for this long without end.
const TARGET: Duration = Duration::from_millis(75);
/// They may wait longer for this long: a tray that comes at once passes.
const INTERVAL: Duration = Duration::from_millis(250);
/// After a scan was turned away none may wait longer than [`TARGET`] for this long, so that an overload that lasts is not
/// let in again every [`INTERVAL`].
const STRICT: Duration = Duration::from_secs(2);

/// The standing queue of one gateway.
#[derive(Debug, Default)]
pub struct Overload(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when scans have waited longer than [`TARGET`].
    above: Option<Instant>,
    /// Until when none may.
    strict: Option<Instant>,
}

impl Overload {
    /// Whether a scan that would wait for this long is to be turned away.
    pub fn turns_away(&self, wait: Duration, now: Instant) -> bool {
        let mut state = self.0.lock();
        if wait <= TARGET {
            state.above = None;
            return false;
        }
        let since = *state.above.get_or_insert(now);
        let stands = now.saturating_duration_since(since) >= INTERVAL;
        let turns_away = stands || state.strict.is_some_and(|until| now < until);
        if turns_away {
            state.strict = Some(now + STRICT);
        }
        turns_away
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(3);

    /// What became of scans before a stage that takes [`WORK`] for each, one after the other: how long each one waited that
    /// was let in.
    fn waits(overload: &Overload, arrivals: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
        let start = Instant::now();
        let (mut free_at, mut waits) = (start, Vec::new());
        for at in arrivals {
            let now = start + at;
            let wait = free_at.saturating_duration_since(now);
            if !overload.turns_away(wait, now) {
                free_at = free_at.max(now) + WORK;
                waits.push(wait);
            }
        }
        waits
    }

    fn every(gap: Duration, seconds: u32) -> impl Iterator<Item = Duration> {
        (0..).map(move |n| gap * n).take_while(move |at| *at < Duration::from_secs(seconds.into()))
    }

    #[test]
    fn under_an_overload_that_lasts_the_stage_is_kept_at_work_and_nobody_waits_long() {
        for overload in [1.1, 2.0, 3.0] {
            let mut waits = waits(&Overload::default(), every(WORK.div_f64(overload), 60));
            let capacity = 60.0 / WORK.as_secs_f64();
            assert!(waits.len() as f64 > 0.99 * capacity, "{overload}: {} of {capacity}", waits.len());
            waits.sort_unstable();
            let p99 = waits[waits.len() * 99 / 100];
            assert!(p99 < Duration::from_millis(250), "{overload}: {p99:?}");
        }
    }

    #[test]
    fn a_tray_that_comes_at_once_is_let_in_and_so_is_the_next_one() {
        let tray = |at: u64| (0..150).map(move |n| Duration::from_secs(at) + Duration::from_micros(500) * n);
        let waits = waits(&Overload::default(), (0..10).flat_map(|n| tray(5 * n)));
        assert_eq!(waits.len(), 1_500);
    }

    #[test]
    fn a_load_below_the_capacity_is_never_turned_away() {
        assert_eq!(
            waits(&Overload::default(), every(WORK.mul_f64(1.05), 60)).len(),
            every(WORK.mul_f64(1.05), 60).count()
        );
    }

    #[test]
    fn after_an_overload_nothing_is_turned_away() {
        let overload = Overload::default();
        let quiet: Vec<_> = every(WORK * 2, 5).map(|at| at + Duration::from_secs(6)).collect();
        let during = waits(&overload, every(WORK / 3, 5)).len();
        assert!(during < every(WORK / 3, 5).count() / 2, "{during}");
        assert_eq!(waits(&overload, quiet.iter().copied()).len(), quiet.len());
    }
}
