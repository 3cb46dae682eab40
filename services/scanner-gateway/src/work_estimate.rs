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

    /// Whether both stages can do their work in this time, behind what takes `ahead`.
    pub fn allows(&self, left: Duration, ahead: Duration) -> bool {
        self.is_allowed(left, self.both(), ahead)
    }

    /// Whether inference can, when the volume has been prepared.
    pub fn allows_inference(&self, left: Duration) -> bool {
        self.is_allowed(left, Duration::from_micros(self.infer_us.load(Relaxed).into()), Duration::ZERO)
    }

    /// A scan that the work alone does not allow makes it smaller: nothing would be begun any more after a slow moment, and
    /// nothing would show that it is over.
    fn is_allowed(&self, left: Duration, work: Duration, ahead: Duration) -> bool {
        if !left.is_zero() && left <= work {
            note(&self.prepare_us, Duration::ZERO);
            note(&self.infer_us, Duration::ZERO);
        }
        left > work + ahead
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
        let us = Duration::from_micros;
        assert!(estimate.allows(us(1), Duration::ZERO));
        estimate.prepared(us(400));
        estimate.inferred(us(1_000));
        assert!(estimate.allows(us(1_401), us(0)) && !estimate.allows(us(1_401), us(1)));
        for _ in 0..1_000 {
            estimate.inferred(us(3_000));
        }
        assert!(estimate.allows_inference(us(3_001)) && !estimate.allows_inference(us(2_900)));
    }

    #[test]
    fn a_slow_moment_does_not_refuse_scans_for_ever() {
        let (estimate, budget) = (WorkEstimate::default(), Duration::from_millis(500));
        for _ in 0..1_000 {
            estimate.inferred(Duration::from_secs(2));
        }
        let refused = (0..1_000).take_while(|_| !estimate.allows(budget, Duration::ZERO)).count();
        assert!((1..150).contains(&refused), "{refused}");
    }
}
