//! What one replica can do, as replicas report it.

use std::time::Duration;

/// So much work is needed for one measurement, in seconds of one replica: some batches.
const MEASURED_OVER: f64 = 2.0;
/// From this share of time at work on, replicas are busy. Below it batches are small, and small batches cost more a scan
/// (four times at a batch of one), so a replica that has little to do looks weaker than it is.
const BUSY: f64 = 0.8;
/// The weight of what was measured fades by a factor e over so much work, in seconds of one replica.
const FADES_OVER: f64 = 20.0;

/// The capacity of one replica in scans a second, once it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Capacity {
    known: Option<f64>,
    completed: f64,
    busy: f64,
    offered: f64,
}

impl Capacity {
    /// Over `span` so many replicas were ready, and completed so many scans in `busy` of their time.
    pub(crate) fn note(&mut self, completed: u64, busy: Duration, span: Duration, ready: u32) {
        self.completed += completed as f64;
        self.busy += busy.as_secs_f64();
        self.offered += span.as_secs_f64() * f64::from(ready.max(1));
        if self.busy < MEASURED_OVER {
            // A share of time is told for now, not for an hour of little work.
            if self.offered > 10.0 * MEASURED_OVER {
                (self.completed, self.busy, self.offered) = (0.0, 0.0, 0.0);
            }
            return;
        }
        let [measured, share] = [self.completed / self.busy, self.busy / self.offered];
        let weight = 1.0 - (-self.busy / FADES_OVER).exp();
        (self.completed, self.busy, self.offered) = (0.0, 0.0, 0.0);
        if measured <= 0.0 {
            return;
        }
        match self.known {
            // They can do at least so much, busy or not.
            Some(known) if share >= BUSY || measured > known => {
                self.known = Some(known + (measured - known) * weight);
            }
            None if share >= BUSY => self.known = Some(measured),
            _ => {}
        }
    }

    /// Scans a second of one replica; before any was busy, what is expected.
    pub(crate) fn per_replica(&self, expected: f64) -> f64 {
        self.known.unwrap_or(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(capacity: &mut Capacity, count: u32, completed: u64, share: f64) {
        for _ in 0..count {
            let span = Duration::from_secs(1);
            capacity.note(completed, span.mul_f64(share), span, 1);
        }
    }

    #[test]
    fn replicas_with_little_to_do_do_not_look_weak() {
        let mut capacity = Capacity::default();
        seconds(&mut capacity, 600, 5, 0.4);
        assert_eq!(capacity.per_replica(50.0), 50.0);
        seconds(&mut capacity, 100, 60, 1.0);
        assert!((capacity.per_replica(50.0) - 60.0).abs() < 1.0);
        seconds(&mut capacity, 600, 5, 0.4);
        assert!((capacity.per_replica(50.0) - 60.0).abs() < 1.0);
    }

    #[test]
    fn busy_replicas_that_do_less_than_before_are_believed() {
        let mut capacity = Capacity::default();
        seconds(&mut capacity, 100, 60, 1.0);
        seconds(&mut capacity, 100, 30, 1.0);
        assert!((29.0..33.0).contains(&capacity.per_replica(50.0)));
    }
}
