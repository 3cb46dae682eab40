//! When to tell a scanner to go slower: before anything has to wait.

use ovomesh_api::pb::scanner::v1::{Advice, Pace};

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
    /// The advice for `used` of `room` scans in flight, if it is news.
    pub fn advise(&mut self, used: usize, room: usize) -> Option<Advice> {
        let pace = match self.pace {
            _ if used >= room => Pace::Stop,
            // From STOP to SLOW below 80 %, from SLOW to OK below 40 %.
            Pace::Stop if used * 5 < room * 4 => Pace::Slow,
            Pace::Slow if used * 5 < room * 2 => Pace::Ok,
            Pace::Ok | Pace::Unspecified if used * 5 >= room * 4 && room >= 5 => Pace::Slow,
            same => same,
        };
        if pace == self.pace {
            return None;
        }
        self.pace = pace;
        let reason = format!("{used} of {room} scans are unanswered");
        Some(Advice { pace: pace.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_comes_before_stop_and_each_is_said_once() {
        let mut advisor = Advisor::default();
        let said: Vec<Pace> = (1..=100)
            .chain((0..100).rev())
            .filter_map(|used| advisor.advise(used, 100))
            .map(|a| a.pace())
            .collect();
        assert_eq!(said, [Pace::Slow, Pace::Stop, Pace::Slow, Pace::Ok]);
    }
}
