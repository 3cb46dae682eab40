//! One line a second while a run lasts; the same in a terminal and in a log.

use std::time::Duration;

use super::latency::Second;
use super::ledger::Ledger;

/// The head is repeated after this many lines, so that a long log stays readable.
const HEAD_EVERY: u64 = 20;

const HEAD: &str = "  time   sent/s  verdicts/s    FEMALE      MALE         -         ?  in flight    p50 ms    p99 ms  \
                    committed  errors";

/// The columns that fit a terminal which is narrower than [`HEAD`].
const NARROW_HEAD: &str = "  time  verdicts/s  in flight    p50 ms    p99 ms  errors";

/// The view. Counts are those of the measured scans so far, the rest is of the last second.
#[derive(Debug, Default)]
pub(crate) struct Live {
    lines: u64,
    narrow: bool,
}

impl Live {
    /// A view for a terminal of this width.
    pub(crate) fn new(width: Option<usize>) -> Self {
        Self { lines: 0, narrow: width.is_some_and(|width| width < HEAD.len()) }
    }

    /// The line for the second that has ended at `at`, counted from the start of the warm-up.
    pub(crate) fn line(&mut self, ledger: &mut Ledger, at: Duration, warmup: Duration) -> String {
        ledger.timeline.turn(ledger.measured_at(at));
        let second = ledger.timeline.last().copied().unwrap_or_default();
        let mut text = String::new();
        if self.lines.is_multiple_of(HEAD_EVERY) {
            text = format!("{}\n", if self.narrow { NARROW_HEAD } else { HEAD });
        }
        self.lines += 1;
        if at <= warmup {
            let (unanswered, left) = (ledger.unanswered(), (warmup - at).as_secs());
            return text
                + &format!("{:>4} s  warming up, {left} s left, {unanswered} in flight", at.as_secs());
        }
        text + &if self.narrow { narrow_row(ledger, &second) } else { row(ledger, &second) }
    }
}

fn errors(ledger: &Ledger) -> u64 {
    let counts = &ledger.counts;
    counts.rejected + counts.duplicated + counts.strays + counts.broken
}

fn narrow_row(ledger: &Ledger, second: &Second) -> String {
    format!(
        "{:>4} s  {:>10}  {:>9}  {:>8.1}  {:>8.1}  {:>6}",
        second.second + 1,
        second.verdicts,
        ledger.unanswered(),
        second.p50_ms,
        second.p99_ms,
        errors(ledger),
    )
}

fn row(ledger: &Ledger, second: &Second) -> String {
    let [female, male, no_embryo, undecided] = ledger.accuracy.calls();
    let (counts, errors) = (&ledger.counts, errors(ledger));
    format!(
        "{:>4} s  {:>7}  {:>10}  {female:>8}  {male:>8}  {no_embryo:>8}  {undecided:>8}  {:>9}  {:>8.1}  {:>8.1}  {:>9}  {errors:>6}",
        second.second + 1,
        second.sent,
        second.verdicts,
        ledger.unanswered(),
        second.p50_ms,
        second.p99_ms,
        counts.committed,
    )
}
