//! Deadlines that outlive the process: by the machine's clock since its boot, which nobody can set.

use std::sync::LazyLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Tells one boot of this machine from another; empty where the system does not say.
static BOOT: LazyLock<String> = LazyLock::new(|| {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
});

/// A deadline as it is written down.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Deadline {
    /// The boot it belongs to.
    #[prost(string, tag = "1")]
    boot: String,
    /// Milliseconds from that boot.
    #[prost(uint64, tag = "2")]
    at_ms: u64,
}

impl Deadline {
    /// Of a moment of this process.
    pub fn write(at: Instant) -> Self {
        let left = at.saturating_duration_since(Instant::now());
        Self { boot: BOOT.clone(), at_ms: millis(since_boot() + left) }
    }

    /// As a moment of this process. After another boot nobody knows how much of its time is left: it is over.
    pub fn read(&self) -> Instant {
        let known = !self.boot.is_empty() && self.boot == *BOOT;
        let left = if known { self.at_ms.saturating_sub(millis(since_boot())) } else { 0 };
        Instant::now() + Duration::from_millis(left)
    }
}

fn since_boot() -> Duration {
    // The kernel's answer is never negative; if it were, the deadline would be over.
    clock_gettime(ClockId::Boottime).try_into().unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_deadline_outlives_the_process_but_not_the_boot() {
        let at = Instant::now() + Duration::from_secs(100);
        let written = Deadline::write(at);
        let read = written.read();
        let off = read.max(at) - read.min(at);
        assert!(off < Duration::from_secs(1), "{off:?}");
        let elsewhere = Deadline { boot: "another".into(), ..written };
        assert!(elsewhere.read() <= Instant::now());
        assert!(Deadline::default().read() <= Instant::now(), "a spool of before says nothing");
    }
}
