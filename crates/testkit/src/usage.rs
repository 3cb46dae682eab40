//! What a process has used, from /proc.

use std::time::Duration;

use crate::signal::ticks_per_second;

/// CPU and memory of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since its start, user and system together.
    pub cpu: Duration,
    /// Memory it holds now, in bytes.
    pub resident: u64,
    /// The most it ever held, in bytes.
    pub peak: u64,
}

impl Usage {
    /// Of a living process; zero for one that is gone.
    pub fn of(pid: u32) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let kib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
            line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Self { cpu: cpu(&read("stat")), resident: kib("VmRSS:"), peak: kib("VmHWM:") }
    }
}

/// Fields 14 and 15 of /proc/PID/stat; the name before them may hold spaces, but ends with the last `)`.
fn cpu(stat: &str) -> Duration {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_process_uses_time_and_memory() {
        let before = Usage::of(std::process::id());
        let mut x = 1u64;
        while Usage::of(std::process::id()).cpu == before.cpu {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        std::hint::black_box(x);
        assert!(before.resident > 0 && before.peak >= before.resident);
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }
}
