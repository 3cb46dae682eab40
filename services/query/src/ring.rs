//! The last steps of the live feed, for watchers that are a little behind or return after a break.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::position::Position;
use crate::stored::Stored;

/// One message of a store's feed, shared by all watchers.
#[derive(Debug, Default)]
pub struct Step {
    /// Rows, without previews.
    pub rows: Vec<Stored>,
    /// Where to continue after them, in the feeds of all stores.
    pub at: Position,
    /// Rows that were missed before these, at least.
    pub lagged: u64,
}

/// Where a watcher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the step that it reads next.
    step: u64,
    /// The number of the row that it reads next, to count what it missed.
    row: u64,
}

/// What a watcher reads next.
#[derive(Debug)]
pub enum Next {
    Step(Arc<Step>, Cursor),
    /// It was too slow: this many rows are gone. It continues after this position.
    Missed(u64, Position, Cursor),
    Nothing,
}

/// The last steps, bounded in rows and in steps.
#[derive(Debug)]
pub struct Ring {
    steps: VecDeque<Arc<Step>>,
    /// Numbers of the first step that is kept and of its first row.
    first: Cursor,
    /// Number of the row after the last.
    end_row: u64,
    /// The position before the first step.
    before: Position,
    most: usize,
}

impl Ring {
    /// Begins at `before`. Keeps at most `most` rows, and as many steps.
    pub fn new(before: Position, most: usize) -> Self {
        let first = Cursor { step: 0, row: 0 };
        Self { steps: VecDeque::new(), first, end_row: 0, before, most }
    }

    pub fn push(&mut self, step: Step) {
        self.end_row += step.lagged + step.rows.len() as u64;
        self.steps.push_back(Arc::new(step));
        while self.steps.len() > 1 && (self.steps.len() > self.most || self.rows() > self.most as u64) {
            let Some(old) = self.steps.pop_front() else { break };
            self.first.step += 1;
            self.first.row += old.lagged + old.rows.len() as u64;
            self.before.clone_from(&old.at);
        }
    }

    /// Where a watcher begins that wants only new rows.
    pub fn end(&self) -> Cursor {
        Cursor { step: self.first.step + self.steps.len() as u64, row: self.end_row }
    }

    /// The position of the end.
    pub fn at_end(&self) -> &Position {
        self.steps.back().map_or(&self.before, |step| &step.at)
    }

    /// The position before the first step that is kept.
    pub fn before(&self) -> &Position {
        &self.before
    }

    /// Whether any of its positions has this feed.
    pub fn knows(&self, feed: &[u8; 8]) -> bool {
        let positions = std::iter::once(&self.before).chain(self.steps.iter().map(|step| &step.at));
        positions.into_iter().any(|at| at.get(feed).is_some())
    }

    /// What follows `at`.
    pub fn next(&self, at: Cursor) -> Next {
        let Some(skip) = at.step.checked_sub(self.first.step) else {
            return Next::Missed(self.first.row.saturating_sub(at.row), self.before.clone(), self.first);
        };
        let step = usize::try_from(skip).ok().and_then(|skip| self.steps.get(skip));
        step.map_or(Next::Nothing, |step| {
            let row = at.row + step.lagged + step.rows.len() as u64;
            Next::Step(step.clone(), Cursor { step: at.step + 1, row })
        })
    }

    /// Where a watcher continues that has all up to `position`, if that is still here. It may get some rows again.
    pub fn after(&self, position: &Position) -> Option<Cursor> {
        let (mut at, mut found) = (self.first, None);
        if position.covers(&self.before) {
            found = Some(at);
        }
        // The last place that it covers: a store that was restarted has begun another feed on the way.
        while let Next::Step(step, next) = self.next(at) {
            at = next;
            if position.covers(&step.at) {
                found = Some(at);
            }
        }
        found
    }

    fn rows(&self) -> u64 {
        self.end_row - self.first.row
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::Row;

    use super::*;

    fn rows(count: usize) -> Vec<Stored> {
        vec![Row::example("n", "1", "a").into(); count]
    }

    /// The position after these numbers of rows of these feeds.
    fn all<const N: usize>(feeds: [(u64, u64); N]) -> Position {
        let tokens = feeds.map(|(feed, n)| [feed.to_be_bytes(), n.to_be_bytes()].concat());
        Position::of(tokens.iter().map(Vec::as_slice))
    }

    /// The position after `n` rows of feed `feed`.
    fn token(feed: u64, n: u64) -> Position {
        all([(feed, n)])
    }

    /// A ring of feed 1 with steps of ten rows each, of which it keeps 50.
    fn ring(steps: u64) -> Ring {
        let mut ring = Ring::new(token(1, 0), 50);
        for n in 1..=steps {
            ring.push(Step { rows: rows(10), at: token(1, 10 * n), lagged: 0 });
        }
        ring
    }

    #[test]
    fn a_watcher_reads_every_step_once() {
        let mut ring = ring(0);
        let at = ring.end();
        assert!(matches!(ring.next(at), Next::Nothing));
        ring.push(Step { at: token(1, 10), ..Step::default() });
        let Next::Step(step, at) = ring.next(at) else { panic!("a step") };
        assert_eq!(step.at, token(1, 10));
        assert!(matches!(ring.next(at), Next::Nothing));
    }

    #[test]
    fn a_slow_watcher_learns_how_many_rows_it_missed_and_goes_on() {
        let slow = ring(1).end();
        let ring = ring(20);
        let Next::Missed(rows, at_token, at) = ring.next(slow) else { panic!("too slow") };
        assert_eq!((rows, at_token), (140, token(1, 150)), "rows 10 to 149 are gone");
        let Next::Step(step, _) = ring.next(at) else { panic!("the first that is kept") };
        assert_eq!(step.at, token(1, 160));
    }

    #[test]
    fn a_watcher_that_comes_back_goes_on_after_its_token() {
        let ring = ring(20);
        let next = |from: &Position| match ring.next(ring.after(from).expect("it is here")) {
            Next::Step(step, _) => step.at.clone(),
            Next::Nothing => Position::default(),
            Next::Missed(..) => panic!("nothing is missed"),
        };
        assert_eq!(next(&token(1, 170)), token(1, 180));
        assert_eq!(next(&token(1, 175)), token(1, 180), "within a step: some rows are repeated");
        assert_eq!(next(&token(1, 150)), token(1, 160), "just before the first that is kept");
        assert_eq!(next(&token(1, 200)), Position::default(), "at the end");
        assert_eq!(next(&token(1, 205)), Position::default(), "ahead of us, by another way");
    }

    #[test]
    fn a_token_that_is_too_old_or_of_another_feed_is_not_here() {
        let ring = ring(20);
        for token in [token(1, 149), token(2, 170), Position::default()] {
            assert_eq!(ring.after(&token), None, "{token:?}");
        }
    }

    #[test]
    fn tokens_of_both_feeds_are_here_after_the_store_was_restarted() {
        let mut ring = ring(3);
        ring.push(Step { at: token(9, 4), lagged: 1, ..Step::default() });
        ring.push(Step { at: token(9, 14), rows: rows(10), ..Step::default() });
        let next = |from: &Position| match ring.next(ring.after(from).expect("it is here")) {
            Next::Step(step, _) => (step.lagged, step.at.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(next(&token(1, 30)), (1, token(9, 4)), "it learns that rows may be missing");
        assert_eq!(next(&token(9, 4)), (0, token(9, 14)));
        assert_eq!(ring.after(&token(9, 3)), None);
    }

    #[test]
    fn a_watcher_of_two_stores_goes_on_before_the_first_step_that_it_lacks() {
        // Two feeds whose messages arrived in another order than at the query that the watcher used before.
        let mut ring = Ring::new(all([(1, 0), (2, 0)]), 50);
        for (one, two) in [(10, 0), (20, 0), (20, 5), (30, 5)] {
            ring.push(Step { at: all([(1, one), (2, two)]), ..Step::default() });
        }
        let next = |from: Position| match ring.next(ring.after(&from).expect("it is here")) {
            Next::Step(step, _) => step.at.clone(),
            _ => Position::default(),
        };
        assert_eq!(next(all([(1, 20), (2, 5)])), all([(1, 30), (2, 5)]));
        assert_eq!(next(all([(1, 10), (2, 5)])), all([(1, 20), (2, 0)]));
        assert_eq!(
            next(all([(1, 30), (2, 0)])),
            all([(1, 20), (2, 5)]),
            "some rows of the first are repeated"
        );
        assert_eq!(next(all([(1, 30), (2, 5)])), Position::default(), "at the end");
        assert_eq!(ring.after(&all([(1, 30)])), None, "it knows nothing of the second store");
        assert!(ring.knows(&2u64.to_be_bytes()) && !ring.knows(&3u64.to_be_bytes()));
    }

    #[test]
    fn what_the_feed_itself_missed_counts_as_rows() {
        let mut ring = ring(1);
        let at = ring.end();
        ring.push(Step { rows: Vec::new(), at: token(1, 1_000), lagged: 990 });
        assert!(matches!(ring.next(at), Next::Step(step, _) if step.lagged == 990));
        assert_eq!(ring.rows(), 990, "the ten before made room");
    }

    #[test]
    fn it_is_bounded_in_rows_and_in_steps() {
        let mut ring = ring(1_000);
        assert!(ring.rows() <= 50 && ring.steps.len() <= 5);
        for n in 0..1_000 {
            ring.push(Step { at: token(2, n), ..Step::default() });
        }
        assert!(ring.steps.len() <= 50);
    }
}
