//! What a replica is good for, as the balancer decides and the pool reports it.

/// What a replica is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No stream yet, or not any more.
    Connecting,
    /// Takes work.
    Ready,
    /// Its oldest call is older than `slow_after`: it takes work only if all others are as slow.
    Slow,
    /// It failed too often in a row: it takes no work for a while, then one call to try.
    Ejected,
    /// It goes away: it finishes what it has.
    Draining,
}

impl Phase {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Slow => "slow",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
        }
    }
}
