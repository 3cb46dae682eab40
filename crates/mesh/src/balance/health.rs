//! When a replica that answers with errors is left alone: answering errors quickly must not attract work.

use tokio::time::Instant;

use crate::PoolConfig;
use crate::backoff::doubled;

/// Failures in a row, and what came of them.
#[derive(Debug, Default)]
pub(super) struct Health {
    streak: u32,
    /// Ejections without a success between; each doubles the next.
    times: u32,
    /// Ejected until then; afterwards one call at a time tries it.
    until: Option<Instant>,
}

impl Health {
    /// Whether it is ejected, the time of trying included.
    pub(super) fn ejected(&self) -> bool {
        self.until.is_some()
    }

    /// When a call may try an ejected replica.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it takes work. One that is ejected takes a single call once its time is over.
    pub(super) fn accepts(&self, outstanding: usize, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now && outstanding == 0)
    }

    /// An answer. What was sent before an ejection proves nothing until its time is over.
    pub(super) fn success(&mut self, now: Instant) {
        if self.until.is_none_or(|until| until <= now) {
            *self = Self::default();
        }
    }

    /// A failure that tells of the replica rather than of the call.
    pub(super) fn failure(&mut self, config: &PoolConfig, may_eject: bool, now: Instant) {
        self.streak = self.streak.saturating_add(1);
        let tried = self.until.is_some_and(|until| until <= now);
        let enough = self.until.is_none() && self.streak >= config.eject_after && may_eject;
        if tried || enough {
            self.until = Some(now + doubled(config.eject_base, config.eject_max, self.times));
            self.times = self.times.saturating_add(1);
        }
    }

    /// Takes it back although its time is not over, because too few others are left. Its next failure counts.
    pub(super) fn pardon(&mut self) {
        self.until = None;
    }

    /// A new stream may be a new process: it is tried at once.
    pub(super) fn renew(&mut self, now: Instant) {
        self.until = self.until.map(|until| until.min(now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ejections_double_up_to_their_limit_and_one_success_ends_them() {
        let config = PoolConfig::default();
        let (mut health, mut now) = (Health::default(), Instant::now());
        for _ in 0..4 {
            health.failure(&config, true, now);
        }
        assert!(health.accepts(3, now), "four failures are not five");
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            health.failure(&config, true, now);
            let until = now + Duration::from_secs(seconds);
            assert_eq!(health.until(), Some(until));
            assert!(!health.accepts(0, until - Duration::from_millis(1)));
            assert!(health.accepts(0, until) && !health.accepts(1, until), "one call to try");
            now = until;
        }
        health.success(now);
        assert!(health.accepts(9, now) && !health.ejected());
        for _ in 0..5 {
            health.failure(&config, true, now);
        }
        assert_eq!(health.until(), Some(now + Duration::from_secs(1)), "it begins anew");
    }

    #[test]
    fn an_answer_from_before_the_ejection_does_not_end_it() {
        let (config, now) = (PoolConfig::default(), Instant::now());
        let mut health = Health::default();
        for _ in 0..5 {
            health.failure(&config, true, now);
        }
        health.success(now + Duration::from_millis(10));
        assert!(health.ejected());
    }

    #[test]
    fn a_replica_that_may_not_be_ejected_stays() {
        let (config, now) = (PoolConfig::default(), Instant::now());
        let mut health = Health::default();
        for _ in 0..50 {
            health.failure(&config, false, now);
        }
        assert!(health.accepts(5, now));
    }
}
