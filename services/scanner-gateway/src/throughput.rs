//! How fast scans get through, so that a scan that would only wait until it is late is answered at once.
//!
//! Without this an overload of a tenth is a collapse: whatever has waited longest is begun first, and is late when it is
//! done, while what could have been in time waits for it. With it the stages stay at full work on what can be in time.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Scans of one measurement: a few batches, since those of a batch get through together.
const WINDOW: u32 = 64;
/// Weight of a new measurement.
const WEIGHT: f64 = 0.5;
/// With fewer scans in flight than one batch of inference, time tells how long a scan takes, not how many get through.
const FULL: u32 = 16;
/// A measurement counts at most so many times the last one, or a stage that stood still for a while would look slow for
/// long.
const OUTLIER: f64 = 4.0;
/// While little is in flight what was measured is forgotten: by a half over so many scans.
const HALF_LIFE: f64 = 64.0;

/// How many scans get through one gateway, over all its sessions.
#[derive(Debug, Default)]
pub struct Throughput(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_flight: u32,
    /// Since when this measurement runs, and how many scans got through.
    window: Option<(Instant, u32)>,
    /// Mean time between two scans that get through while many are in flight; zero until it is known.
    gap: Duration,
}

/// A scan on its way through the stages.
#[derive(Debug)]
pub struct InStages<'a> {
    throughput: &'a Throughput,
}

impl Throughput {
    /// A scan begins.
    pub fn enter(&self) -> InStages<'_> {
        self.0.lock().in_flight += 1;
        InStages { throughput: self }
    }

    /// How long those in flight will take: what the next scan has to wait for.
    pub fn ahead(&self) -> Duration {
        let state = self.0.lock();
        state.gap * state.in_flight
    }
}

impl InStages<'_> {
    /// The stages have done all their work on it.
    pub fn through(self, now: Instant) {
        let mut state = self.throughput.0.lock();
        if state.in_flight < FULL {
            state.window = None;
            state.gap = state.gap.mul_f64(0.5_f64.powf(1.0 / HALF_LIFE));
            return;
        }
        let (since, scans) = state.window.unwrap_or((now, 0));
        if scans < WINDOW {
            state.window = Some((since, scans + 1));
            return;
        }
        state.window = Some((now, 1));
        let gap = now.saturating_duration_since(since) / WINDOW;
        state.gap = if state.gap.is_zero() {
            gap
        } else {
            state.gap.mul_f64(1.0 - WEIGHT) + gap.min(state.gap.mul_f64(OUTLIER)).mul_f64(WEIGHT)
        };
    }
}

impl Drop for InStages<'_> {
    fn drop(&mut self) {
        self.throughput.0.lock().in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Scans that come every `every` with this budget, before a stage that takes `work` for each, one after the other;
    /// the share of them that is in time.
    fn in_time(every: Duration, work: Duration, budget: Duration) -> f64 {
        let (throughput, start) = (Throughput::default(), Instant::now());
        let (mut queue, mut free_at, mut in_time) = (VecDeque::new(), start, 0);
        let many = 20_000;
        for n in 0..many {
            let now = start + every * n;
            while let Some(&(deadline, _)) = queue.front() {
                if free_at.max(deadline - budget) + work > now {
                    break;
                }
                let (deadline, in_stages): (Instant, InStages<'_>) = queue.pop_front().expect("it was seen");
                if deadline <= free_at {
                    // Expired while it waited: it is dropped without work.
                    continue;
                }
                free_at = free_at.max(deadline - budget) + work;
                in_stages.through(free_at);
                in_time += u32::from(free_at <= deadline);
            }
            if throughput.ahead() + work < budget {
                queue.push_back((now + budget, throughput.enter()));
            }
        }
        f64::from(in_time) / f64::from(many)
    }

    #[test]
    fn under_an_overload_what_can_be_in_time_is() {
        let ms = Duration::from_millis;
        for overload in [1.1, 1.4, 3.0] {
            let share = in_time(ms(10).div_f64(overload), ms(10), ms(500));
            assert!(share > 0.9 / overload, "{share} at {overload} times what gets through");
        }
    }

    #[test]
    fn without_an_overload_nothing_is_turned_away() {
        let ms = Duration::from_millis;
        assert!(in_time(ms(11), ms(10), ms(500)) > 0.999);
    }

    /// Batches of 16 that take `each`, with many more in flight.
    fn batches(throughput: &Throughput, now: &mut Instant, count: usize, each: Duration) {
        let others: Vec<_> = (0..100).map(|_| throughput.enter()).collect();
        for _ in 0..count {
            *now += each;
            for scan in (0..16).map(|_| throughput.enter()).collect::<Vec<_>>() {
                scan.through(*now);
            }
        }
        drop(others);
    }

    #[test]
    fn scans_that_get_through_in_batches_are_counted_one_by_one() {
        let (throughput, mut now) = (Throughput::default(), Instant::now());
        batches(&throughput, &mut now, 100, Duration::from_millis(16));
        let gap = throughput.0.lock().gap;
        assert!((900..=1_100).contains(&gap.as_micros()), "{gap:?}");
    }

    #[test]
    fn a_stage_that_stood_still_does_not_look_slow_for_long() {
        let (throughput, mut now) = (Throughput::default(), Instant::now());
        batches(&throughput, &mut now, 100, Duration::from_millis(16));
        batches(&throughput, &mut now, 1, Duration::from_secs(10));
        batches(&throughput, &mut now, 40, Duration::from_millis(16));
        let gap = throughput.0.lock().gap;
        assert!(gap < Duration::from_millis(2), "{gap:?}");
    }

    #[test]
    fn a_tray_that_comes_after_a_quiet_time_is_not_turned_away() {
        let (throughput, mut now) = (Throughput::default(), Instant::now());
        batches(&throughput, &mut now, 100, Duration::from_millis(16));
        for _ in 0..1_000 {
            let scan = throughput.enter();
            now += Duration::from_millis(5);
            scan.through(now);
            now += Duration::from_millis(144);
        }
        let _tray: Vec<_> = (0..150).map(|_| throughput.enter()).collect();
        assert!(throughput.ahead() < Duration::from_millis(1), "{:?}", throughput.ahead());
    }
}
