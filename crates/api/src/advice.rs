//! When to ask a scanner to slow down: before anything has to wait.

use crate::pb::scanner::v1::{Advice, Pace};

/// Tells a change of pace once. Going back needs more room than going on, so that it does not flutter.
#[derive(Debug)]
pub struct Advisor {
    pace: Pace,
}

impl Default for Advisor {
    fn default() -> Self {
        Self { pace: Pace::Ok }
    }
}

impl Advisor {
    /// The advice when `used` thousandths of `room` are taken, if it is news.
    pub fn advise(&mut self, used: u64, room: &str) -> Option<Advice> {
        let pace = match self.pace {
            _ if used >= 1_000 => Pace::Stop,
            Pace::Stop if used < 800 => Pace::Slow,
            Pace::Slow if used < 400 => Pace::Ok,
            Pace::Ok | Pace::Unspecified if used >= 800 => Pace::Slow,
            same => same,
        };
        if pace == self.pace {
            return None;
        }
        self.pace = pace;
        let reason = format!("{} % of {room} is taken", used / 10);
        Some(Advice { pace: pace.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_comes_before_stop_and_each_is_said_once() {
        let mut advisor = Advisor::default();
        let said: Vec<Pace> = (1..=1_000)
            .chain((0..1_000).rev())
            .filter_map(|used| advisor.advise(used, "the room"))
            .map(|a| a.pace())
            .collect();
        assert_eq!(said, [Pace::Slow, Pace::Stop, Pace::Slow, Pace::Ok]);
    }
}
