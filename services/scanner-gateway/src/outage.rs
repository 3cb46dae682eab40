//! What the log says while the store takes no rows: its begin, now and then how it goes, and its end; never each row. Pure: its
//! clock is given.

use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of one outage.
const EVERY: Duration = Duration::from_secs(30);

/// Rows that could not be stored at their first try and are not settled yet. While there are any, it is one outage.
#[derive(Debug, Default)]
pub struct Outage(Option<Ongoing>);

#[derive(Debug)]
struct Ongoing {
    since: Instant,
    logged_at: Instant,
    waiting: u64,
    so_far: Counts,
}

/// What an outage has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that had to wait.
    pub rows: u64,
    /// Tries that failed.
    pub tries: u64,
    /// Rows that the gateway left without storing.
    pub left: u64,
}

/// What is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageEvent {
    /// The first row could not be stored.
    Begun,
    /// It has lasted so long; so many rows wait now.
    Lasts(Duration, u64, Counts),
    /// No row waits any more.
    Over(Duration, Counts),
}

impl Outage {
    /// A try failed; `first`: of its row.
    pub fn failed(&mut self, first: bool, now: Instant) -> Option<OutageEvent> {
        let is_new = self.0.is_none();
        let ongoing = self.0.get_or_insert(Ongoing {
            since: now,
            logged_at: now,
            waiting: 0,
            so_far: Counts::default(),
        });
        ongoing.so_far.tries += 1;
        if first {
            ongoing.waiting += 1;
            ongoing.so_far.rows += 1;
        }
        if is_new {
            return Some(OutageEvent::Begun);
        }
        if now.duration_since(ongoing.logged_at) < EVERY {
            return None;
        }
        ongoing.logged_at = now;
        Some(OutageEvent::Lasts(now.duration_since(ongoing.since), ongoing.waiting, ongoing.so_far))
    }

    /// A row that had failed waits no more: it is settled, or the gateway `left` it.
    pub fn ended(&mut self, left: bool, now: Instant) -> Option<OutageEvent> {
        let ongoing = self.0.as_mut()?;
        ongoing.so_far.left += u64::from(left);
        ongoing.waiting = ongoing.waiting.saturating_sub(1);
        if ongoing.waiting > 0 {
            return None;
        }
        let over = OutageEvent::Over(now.duration_since(ongoing.since), ongoing.so_far);
        self.0 = None;
        Some(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_many_rows_is_a_line_at_its_begin_some_amid_and_one_at_its_end() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut events = Vec::new();
        for second in 0..65 {
            for row in 0..100 {
                events.extend(outage.failed(second == 0, at(second) + Duration::from_millis(row)));
            }
        }
        for row in 0..100 {
            events.extend(outage.ended(row == 7, at(70)));
        }
        let counts = |tries, left| Counts { rows: 100, tries, left };
        let (first, second) = (Duration::from_secs(30), Duration::from_secs(60));
        assert_eq!(
            events,
            [
                OutageEvent::Begun,
                OutageEvent::Lasts(first, 100, counts(3_001, 0)),
                OutageEvent::Lasts(second, 100, counts(6_001, 0)),
                OutageEvent::Over(Duration::from_secs(70), counts(6_500, 1)),
            ]
        );
        assert_eq!(outage.failed(true, at(80)), Some(OutageEvent::Begun), "the next one is another");
    }

    #[test]
    fn a_row_that_never_failed_ends_nothing() {
        assert_eq!(Outage::default().ended(false, Instant::now()), None);
    }
}
