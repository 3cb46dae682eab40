//! How long to wait before a replica is connected to again.

use std::time::Duration;

/// Waits that double from a base to a limit, with jitter, so that the clients of a server that restarts don't come
/// back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
    most: Duration,
    times: u32,
}

impl Backoff {
    pub(super) fn new(base: Duration, most: Duration) -> Self {
        Self { base, most, times: 0 }
    }

    /// The next wait, for a `chance` from 0 to 1: from half to all of the doubled time.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let full = self.base.saturating_mul(1 << self.times.min(16)).min(self.most);
        self.times = self.times.saturating_add(1);
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked: begin anew.
    pub(super) fn reset(&mut self) {
        self.times = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_50_ms_to_2_s_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let waits: Vec<_> = (0..8).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(backoff.next(0.0).as_millis(), 1000);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 25);
    }
}
