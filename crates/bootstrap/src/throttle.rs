//! Warnings that strangers can cause: a few, and how many there were.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Warnings in one [`PERIOD`].
const FEW: u32 = 5;
/// See [`FEW`].
const PERIOD: Duration = Duration::from_secs(60);

/// Counts the warnings of one kind.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    warned: u32,
    left_out: u32,
}

impl Throttle {
    /// Of one place in the code.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether to warn now; if so, how many warnings were left out since the last one.
    pub fn warns(&self) -> Option<u32> {
        let mut window = self.0.lock();
        let now = Instant::now();
        let current = window.get_or_insert(Window { since: now, warned: 0, left_out: 0 });
        if now.saturating_duration_since(current.since) >= PERIOD {
            (current.since, current.warned) = (now, 0);
        }
        if current.warned == FEW {
            current.left_out = current.left_out.saturating_add(1);
            return None;
        }
        current.warned += 1;
        Some(std::mem::take(&mut current.left_out))
    }
}

/// Warns as `tracing::warn!` does, unless this place has warned often in the last minute. The next warning counts the
/// ones that were left out, as `left_out`.
#[macro_export]
macro_rules! warn_seldom {
    ($($content:tt)*) => {{
        static SELDOM: $crate::Throttle = $crate::Throttle::new();
        if let Some(left_out) = SELDOM.warns() {
            tracing::warn!(left_out, $($content)*);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_warnings_are_few_lines_and_none_is_uncounted() {
        let throttle = Throttle::new();
        let warned = (0..1_000).filter(|_| throttle.warns().is_some()).count();
        assert_eq!(warned, FEW as usize);
        tokio::time::advance(PERIOD).await;
        assert_eq!(throttle.warns(), Some(995));
        assert_eq!(throttle.warns(), Some(0));
    }
}
