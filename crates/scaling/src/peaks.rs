//! The largest demand of a stretch of time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::decision::Driver;

/// Peaks that are kept at most: an hour of a demand that only falls.
const MOST: usize = 4_096;

/// A demand, in scans a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    pub(crate) at: Duration,
    pub(crate) demand: f64,
    pub(crate) driver: Driver,
}

/// The demands that no later one reached, the oldest and largest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Peaks(VecDeque<Peak>);

impl Peaks {
    /// Takes in the demand of now, and gives the largest of the last `window`, which may be that of now.
    pub(crate) fn largest(&mut self, newest: Peak, window: Duration) -> Peak {
        while self.0.back().is_some_and(|peak| peak.demand <= newest.demand) {
            self.0.pop_back();
        }
        let full = self.0.len() >= MOST;
        match self.0.back_mut() {
            // The smallest peak stands for this lower demand too.
            Some(last) if full => last.at = newest.at,
            _ => self.0.push_back(newest),
        }
        while self.0.front().is_some_and(|peak| newest.at.saturating_sub(peak.at) > window) {
            self.0.pop_front();
        }
        self.0.front().copied().unwrap_or(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_the_window_counts_and_no_more_are_kept_than_needed() {
        let mut peaks = Peaks::default();
        let peak = |second: u64, demand| Peak {
            at: Duration::from_secs(second),
            demand,
            driver: Driver::Rate { rate: demand },
        };
        let window = Duration::from_secs(300);
        for second in 0..100_000_u64 {
            let demand = if second % 1_000 == 0 { 50.0 } else { 20.0 - second as f64 * 1e-4 };
            let largest = peaks.largest(peak(second, demand), window).demand;
            assert_eq!(largest == 50.0, second % 1_000 <= 300, "at {second} s");
            assert!(peaks.0.len() <= 302);
        }
        for second in 0..10_000 {
            peaks.largest(peak(second, -(second as f64)), Duration::from_secs(3_600));
            assert!(peaks.0.len() <= MOST);
        }
    }
}
