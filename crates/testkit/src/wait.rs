//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Waits until `done` gives something; an error that names `what` after `limit`.
pub fn wait_until<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return Ok(value);
        }
        anyhow::ensure!(begun.elapsed() < limit, "{what}: not within {:.1} s", limit.as_secs_f64());
        pause();
    }
}

// No runtime here, and no thread that anybody waits for.
#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(EVERY);
}
