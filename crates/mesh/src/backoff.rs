//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Waits that double from a first to a longest one, with jitter: the clients of a server that restarts must not all
/// return at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// From 50 ms, after which a restarted process is usually back, to 2 s, within which one that was away for long is
    /// found again.
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }
}

impl Backoff {
    /// Waits from `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The next wait: from half to all of the doubled time.
    pub fn next_wait(&mut self) -> Duration {
        self.jittered(rand::random())
    }

    /// Waits. A wait that is given up counts all the same.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// It worked: the next failure is the first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait for a `chance` from 0 to 1.
    fn jittered(&mut self, chance: f64) -> Duration {
        let full = doubled(self.first, self.longest, self.failures);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + chance / 2.0)
    }
}

/// `first`, doubled this many times, but never above `longest`.
pub(crate) fn doubled(first: Duration, longest: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_limit_with_jitter_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.jittered(1.0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(backoff.jittered(0.0).as_millis(), 1000);
        backoff.reset();
        assert_eq!(backoff.jittered(0.0).as_millis(), 25);
        let mut waits: Vec<_> = (0..100).map(|_| backoff.next_wait()).skip(6).collect();
        assert!(waits.iter().all(|wait| (1.0..=2.0).contains(&wait.as_secs_f64())), "{waits:?}");
        waits.dedup();
        assert!(waits.len() > 50, "clients that failed together must not return together: {waits:?}");
    }
}
