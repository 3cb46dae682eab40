//! A run from its first connection to its last answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::generate::Supply;
use super::ledger::Ledger;
use super::live::Live;
use super::pace::Pacer;
use super::scanner::{Run, SimulatedScanner, StartTime};
use crate::Out;

/// From the last connection to the first send: the pacer's thread is up by then.
const RUN_UP: Duration = Duration::from_millis(50);
/// An answer may arrive this long after its budget has run out; later ones are lost.
const GRACE: Duration = Duration::from_secs(5);
/// A Committed may arrive this long after the last verdict.
const COMMIT: Duration = Duration::from_secs(10);
/// A server that takes the last scans this slowly is no longer waited for, from the plan's end.
const LONGEST_END: Duration = Duration::from_secs(300);
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Connects all scanners, sends the plan, waits for the answers. Returns whether it was ended by Ctrl-C.
pub(crate) async fn drive(
    run: &Arc<Run>,
    supplies: Vec<Supply>,
    mut live: Option<Live>,
    out: &mut Out,
) -> anyhow::Result<bool> {
    let (due, opening): (Vec<_>, Vec<_>) = (0u32..)
        .zip(supplies)
        .map(|(index, supply)| {
            let (to, due) = mpsc::unbounded_channel();
            (to, SimulatedScanner::open(run.clone(), index, supply, due))
        })
        .unzip();
    let opened = try_join_all(opening).await?;
    let start = StartTime { instant: Instant::now() + RUN_UP, clock: Timestamp::now() + RUN_UP };
    let mut scanners = JoinSet::new();
    for scanner in opened {
        scanners.spawn(scanner.work(start));
    }
    let mut pacer = Some(Pacer::start(run.plan.clone(), start.instant, due)?);
    let mut end = End::new(run.plan.end, run.budget);
    let mut looks = tokio::time::interval(LOOK);
    let mut shown = 0;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = tokio::signal::ctrl_c() => {
                let Some(pacer) = pacer.take() else { break };
                out.remark("interrupted: waiting for the answers that are due; press Ctrl-C again to stop at once")?;
                run.ledger().cut(pacer.stop());
                end = End::new(start.instant.elapsed(), run.budget);
            }
        }
        let second = start.instant.elapsed().as_secs();
        if let Some(live) = live.as_mut().filter(|_| second > shown) {
            shown = second;
            let line = live.line(&mut run.ledger(), Duration::from_secs(second), run.content.warmup);
            out.remark(line)?;
        }
        let now = start.instant.elapsed();
        if end.has_come(State::of(&run.ledger()), now) {
            break;
        }
    }
    let interrupted = pacer.is_none();
    run.finish.cancel();
    while scanners.join_next().await.is_some() {}
    Ok(interrupted)
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    unsent: u64,
    unanswered: u64,
    uncommitted: u64,
}

impl State {
    fn of(ledger: &Ledger) -> Self {
        Self { unsent: ledger.unsent(), unanswered: ledger.unanswered(), uncommitted: ledger.uncommitted() }
    }
}

/// Decides when nothing more is waited for.
#[derive(Debug)]
struct End {
    budget: Duration,
    /// When all scans were due.
    planned: Duration,
    before: State,
    /// When a scan was last sent, and when one was last answered.
    sent_at: Duration,
    answered_at: Duration,
}

impl End {
    fn new(planned: Duration, budget: Duration) -> Self {
        Self { budget, planned, before: State::default(), sent_at: planned, answered_at: planned }
    }

    /// Whether a run in this state at `now` has ended.
    fn has_come(&mut self, state: State, now: Duration) -> bool {
        if state.unsent != self.before.unsent || now < self.planned {
            self.sent_at = now;
        }
        if state.unanswered != self.before.unanswered || now < self.planned {
            self.answered_at = now;
        }
        self.before = state;
        if now < self.planned {
            return false;
        }
        let given_up = match state {
            State { unsent: 0, unanswered: 0, uncommitted: 0 } => return true,
            State { unsent: 0, unanswered: 0, .. } => now.saturating_sub(self.answered_at) >= COMMIT,
            _ => now.saturating_sub(self.sent_at) >= self.budget + GRACE,
        };
        given_up || now - self.planned >= LONGEST_END
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(unsent: u64, unanswered: u64, uncommitted: u64) -> State {
        State { unsent, unanswered, uncommitted }
    }

    fn end() -> End {
        End::new(Duration::from_secs(20), Duration::from_secs(2))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_ends_when_all_is_sent_answered_and_committed_but_never_before_its_plan() {
        let mut end = end();
        assert!(!end.has_come(state(0, 0, 0), at(19)));
        assert!(end.has_come(state(0, 0, 0), at(20)));
    }

    #[test]
    fn answers_are_waited_for_until_budget_and_grace_after_the_last_send() {
        let mut end = end();
        assert!(!end.has_come(state(9, 5, 0), at(21)));
        // The server took one more: the wait begins again. An answer alone does not prolong it.
        assert!(!end.has_come(state(8, 6, 0), at(25)));
        assert!(!end.has_come(state(8, 2, 4), at(31)));
        assert!(end.has_come(state(8, 2, 0), at(32)));
    }

    #[test]
    fn commits_are_waited_for_after_the_last_answer() {
        let mut end = end();
        assert!(!end.has_come(state(0, 1, 3), at(21)));
        assert!(!end.has_come(state(0, 0, 4), at(22)));
        assert!(!end.has_come(state(0, 0, 1), at(31)));
        assert!(end.has_come(state(0, 0, 1), at(32)));
    }

    #[test]
    fn a_server_that_takes_a_scan_now_and_then_is_not_waited_for_for_ever() {
        let mut end = end();
        let ended = (20..).find(|&second| end.has_come(state(1_000 - second, 1, 0), at(second)));
        assert_eq!(ended, Some(320));
    }
}
