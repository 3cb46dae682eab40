//! The agent's clock, corrected by the gateways': small industrial PCs start in 1970 or an hour off.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use jiff::{SignedDuration, Timestamp};

/// The system's clock and how far it is off.
#[derive(Debug, Default)]
pub struct Clock {
    /// Microseconds to add.
    correction: AtomicI64,
}

impl Clock {
    /// The time, as far as it is known.
    pub fn now(&self) -> Timestamp {
        let system = Timestamp::now();
        system.checked_add(SignedDuration::from_micros(self.correction.load(Relaxed))).unwrap_or(system)
    }

    /// A gateway's clock shows this now. What the way took is not known, and small.
    pub fn correct(&self, gateway: Timestamp) {
        let off = gateway.duration_since(Timestamp::now());
        self.correction.store(i64::try_from(off.as_micros()).unwrap_or(0), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_follows_the_gateway() {
        let clock = Clock::default();
        let hour = SignedDuration::from_hours(1);
        for gateway in [Timestamp::now() + hour, Timestamp::now() - hour * 24 * 365 * 50] {
            clock.correct(gateway);
            assert!(clock.now().duration_since(gateway).abs() < SignedDuration::from_secs(1), "{gateway}");
        }
    }
}
