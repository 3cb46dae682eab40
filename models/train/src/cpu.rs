//! Processor time: unlike the clock it hardly grows with the machine's other work.

use rustix::time::{ClockId, clock_gettime};

/// Seconds that all threads of this process have spent on a core.
pub(crate) fn process_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// Seconds that this thread has spent on a core.
pub(crate) fn thread_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let spent = clock_gettime(clock);
    spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
}
