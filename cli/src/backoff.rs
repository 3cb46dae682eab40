//! How long to wait before the next try.

use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_millis(50);
/// Longest wait: a service that restarts is found again within this time.
const LONGEST: Duration = Duration::from_secs(1);

/// Waits that double from 50 ms to 1 s.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let longer = (self.0 * 2).min(LONGEST);
        std::mem::replace(&mut self.0, longer)
    }

    /// It worked: the next failure is the first one.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_limit_and_start_again() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..6).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }
}
