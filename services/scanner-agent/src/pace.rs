//! How many scans an agent has with its gateway at once: half after a refusal, one more after each answer, within the
//! gateway's credit. Many agents share a gateway that way without a word between them (V. Jacobson, "Congestion Avoidance
//! and Control", SIGCOMM 1988), and what waits is here, where the earliest deadline goes first.

use std::time::Duration;

use tokio::time::Instant;

/// Pause after a gateway said that it has no room: several answers come in this time.
const PAUSE: Duration = Duration::from_millis(25);

/// The pace of one link.
#[derive(Debug)]
pub struct Pace {
    credit: usize,
    window: usize,
    hold_until: Instant,
}

impl Pace {
    /// Within a gateway's credit of scans.
    pub fn within(credit: u32) -> Self {
        let credit = credit as usize;
        Self { credit, window: credit, hold_until: Instant::now() }
    }

    /// Whether one more scan may be sent beside those that have no answer.
    pub fn allows(&self, outstanding: usize, now: Instant) -> bool {
        outstanding < self.window && now >= self.hold_until
    }

    /// When scans may be sent again, while none may.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        (self.hold_until > now).then_some(self.hold_until)
    }

    /// A scan was refused for want of room; so many others have no answer.
    pub fn refused(&mut self, outstanding: usize, now: Instant) {
        // The refusals of what was sent before the pause began are one.
        if now >= self.hold_until {
            self.window = (outstanding / 2).max(1);
            self.hold_until = now + PAUSE;
        }
    }

    /// A scan was decided.
    pub fn answered(&mut self) {
        self.window = (self.window + 1).min(self.credit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_halves_what_is_sent_at_once_and_answers_raise_it_again() {
        let (mut pace, now) = (Pace::within(256), Instant::now());
        assert!(pace.allows(255, now) && !pace.allows(256, now));
        pace.refused(100, now);
        pace.refused(99, now);
        assert!(!pace.allows(0, now));
        let later = pace.pause(now).expect("a pause");
        assert!(pace.allows(49, later) && !pace.allows(50, later));
        (0..1_000).for_each(|_| pace.answered());
        assert!(pace.allows(255, later) && !pace.allows(256, later), "never more than the credit");
    }

    #[test]
    fn one_scan_may_always_be_tried() {
        let (mut pace, mut now) = (Pace::within(256), Instant::now());
        for _ in 0..10 {
            pace.refused(0, now);
            now = pace.pause(now).expect("a pause");
            assert!(pace.allows(0, now));
        }
    }
}
