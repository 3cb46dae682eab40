//! Which hours of which lines are known to be marked, so that the mark is not written with every row.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ovomesh_api::LineId;
use parking_lot::Mutex;

/// Hours remembered: those of a thousand lines and some late ones. When there are more, all are forgotten and marked anew.
const KEPT: usize = 8_192;
/// A mark is written again after this time, because it ends by its age as rows do. It is kept a day longer than they are.
const FRESH: Duration = Duration::from_secs(12 * 3_600);

/// An hour of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hour {
    pub line: LineId,
    /// Its beginning, in milliseconds since 1970.
    pub hour: i64,
}

impl Hour {
    pub fn new(line: &LineId, hour: i64) -> Self {
        Self { line: line.clone(), hour }
    }
}

/// The hours that were marked.
#[derive(Default)]
pub(super) struct Hours(Mutex<HashMap<Hour, Instant>>);

impl Hours {
    /// Whether its mark was written not long ago.
    pub fn is_marked(&self, hour: &Hour) -> bool {
        self.0.lock().get(hour).is_some_and(|at| at.elapsed() < FRESH)
    }

    /// Their marks are durable.
    pub fn marked(&self, hours: Vec<Hour>) {
        let mut marked = self.0.lock();
        if marked.len() + hours.len() > KEPT {
            marked.clear();
        }
        let now = Instant::now();
        marked.extend(hours.into_iter().map(|hour| (hour, now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_marked_once_and_what_is_remembered_is_bounded() {
        let (hours, line) = (Hours::default(), LineId::parse("s", "1").unwrap());
        let hour = |n| Hour::new(&line, n);
        hours.marked(vec![hour(0)]);
        assert!(hours.is_marked(&hour(0)) && !hours.is_marked(&hour(1)));
        (0..3 * KEPT as i64).for_each(|n| hours.marked(vec![hour(n)]));
        assert!(hours.0.lock().len() <= KEPT);
    }
}
