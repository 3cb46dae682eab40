//! Moments that outlive the process: by the machine's clock since its boot, which nobody can set.

use std::sync::LazyLock;
use std::time::Duration;

use ovomesh_api::pb::spool::v1::Deadline;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Tells one boot of this machine from another; empty where the system does not say.
static BOOT: LazyLock<String> = LazyLock::new(|| {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
});

/// A moment of this process as it is written down.
pub fn write(at: Instant) -> Deadline {
    let left = at.saturating_duration_since(Instant::now());
    Deadline { boot_id: BOOT.clone(), at_ms: millis(since_boot() + left) }
}

/// As a moment of this process. After another boot nobody knows how much of its time is left: it is over.
pub fn read(deadline: &Deadline) -> Instant {
    let left =
        if is_of_this_boot(deadline) { deadline.at_ms.saturating_sub(millis(since_boot())) } else { 0 };
    Instant::now() + Duration::from_millis(left)
}

/// How long ago a moment was; None when nobody knows, because it was before this boot.
pub fn age(moment: &Deadline) -> Option<Duration> {
    is_of_this_boot(moment).then(|| Duration::from_millis(millis(since_boot()).saturating_sub(moment.at_ms)))
}

/// Whether the machine has not booted since.
pub fn is_of_this_boot(moment: &Deadline) -> bool {
    !moment.boot_id.is_empty() && moment.boot_id == *BOOT
}

/// Of the machine, also while it slept.
pub fn since_boot() -> Duration {
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
        let written = write(at);
        let again = read(&written);
        let off = again.max(at) - again.min(at);
        assert!(off < Duration::from_secs(1), "{off:?}");
        let elsewhere = Deadline { boot_id: "another".into(), ..written };
        assert!(read(&elsewhere) <= Instant::now());
        assert!(read(&Deadline::default()) <= Instant::now(), "a spool of before says nothing");
    }

    #[test]
    fn the_age_of_a_moment_outlives_the_process_but_not_the_boot() {
        let moment = write(Instant::now());
        let earlier = Deadline { at_ms: moment.at_ms.saturating_sub(5_000), ..moment.clone() };
        assert!(age(&moment) < age(&earlier), "{moment:?}");
        assert!(age(&earlier).is_some_and(|age| age >= Duration::from_millis(moment.at_ms.min(5_000))));
        let later = Deadline { at_ms: moment.at_ms + 60_000, ..moment.clone() };
        assert_eq!(age(&later), Some(Duration::ZERO));
        assert_eq!(age(&Deadline { boot_id: "another".into(), ..moment }), None);
        assert_eq!(age(&Deadline::default()), None, "a spool of before says nothing");
    }
}
