//! The order in which work is begun.

use tokio::time::Instant;

/// When work is due. The earliest comes first; what is never due comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// At its deadline.
    At(Instant),
    /// It has no deadline.
    Never,
}

impl From<Option<Instant>> for Due {
    fn from(deadline: Option<Instant>) -> Self {
        deadline.map_or(Self::Never, Self::At)
    }
}

impl Due {
    /// Whether its time is over at `now`.
    #[must_use]
    pub fn is_over(self, now: Instant) -> bool {
        self <= Self::At(now)
    }
}
