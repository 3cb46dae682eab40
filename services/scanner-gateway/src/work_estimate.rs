//! How long the stages usually work on a scan, so that what cannot be in time is not begun.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Weight of a new value in the moving average: about the last 64 scans count.
const WEIGHT: f64 = 1.0 / 64.0;

/// Moving averages of the stages' work, without their queues: a queue may be gone by the time the scan comes.
#[derive(Debug, Default)]
pub struct WorkEstimate {
    prepare_us: AtomicU32,
    infer_us: AtomicU32,
}

impl WorkEstimate {
    /// A volume was prepared.
    pub fn prepared(&self, worked: Duration) {
        note(&self.prepare_us, worked);
    }

    /// A volume was judged.
    pub fn inferred(&self, worked: Duration) {
        note(&self.infer_us, worked);
    }

    /// Work of both stages; zero before anything is known.
    pub fn both(&self) -> Duration {
        Duration::from_micros(
            u64::from(self.prepare_us.load(Relaxed)) + u64::from(self.infer_us.load(Relaxed)),
        )
    }

    /// Work that is left after preparing.
    pub fn inferred_only(&self) -> Duration {
        Duration::from_micros(u64::from(self.infer_us.load(Relaxed)))
    }
}

// Two sessions may lose each other's update: an average bears that.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn note(average: &AtomicU32, worked: Duration) {
    let worked = worked.as_secs_f64() * 1e6;
    let before = f64::from(average.load(Relaxed));
    let after = if before == 0.0 { worked } else { before + (worked - before) * WEIGHT };
    average.store(after as u32, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_work_and_starts_at_nothing() {
        let estimate = WorkEstimate::default();
        assert_eq!(estimate.both(), Duration::ZERO);
        estimate.prepared(Duration::from_micros(400));
        estimate.inferred(Duration::from_micros(1_000));
        assert_eq!(estimate.both(), Duration::from_micros(1_400));
        for _ in 0..1_000 {
            estimate.inferred(Duration::from_micros(3_000));
        }
        assert!((2_900..=3_000).contains(&estimate.inferred_only().as_micros()));
    }
}
