//! What one replica can do, as replicas report it.
//!
//! Completions divided by time at work is what a replica *does*, not what it can do: replicas that batch take what waits,
//! so with little to do they work all the time on small batches, which cost up to four times as much a scan. Taken for
//! capacity it would ask for more replicas, whose batches would be smaller still. So a replica is believed to be weaker
//! than it was only while scans wait, when batches are full; and to be stronger at any time.

use std::time::Duration;

/// So much work is needed for one measurement, in seconds of one replica: some batches.
const MEASURED_OVER: f64 = 2.0;
/// The weight of what was measured fades by a factor e over so much work, in seconds of one replica.
const FADES_OVER: f64 = 20.0;
/// Scans wait when they are work for so many seconds: more than a batch takes.
const WAITING: f64 = 0.5;

/// The capacity of one replica in scans a second, once it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Capacity {
    known: Option<f64>,
    backlog: u64,
    idle: Measured,
    full: Measured,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Measured {
    completed: f64,
    busy: f64,
}

/// What replicas did between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Did {
    /// Scans.
    pub(crate) completed: u64,
    /// In so much of their time, all together.
    pub(crate) busy: Duration,
    /// Those that are ready.
    pub(crate) ready: u32,
    /// Scans that are not done at the end.
    pub(crate) backlog: u64,
}

impl Capacity {
    /// Takes in what replicas did. Before any measurement one is taken to do `expected` scans a second.
    pub(crate) fn note(&mut self, did: Did, expected: f64) {
        let before = std::mem::replace(&mut self.backlog, did.backlog);
        let waiting = f64::from(did.ready) * self.per_replica(expected) * WAITING;
        let full = did.ready > 0 && before.min(did.backlog) as f64 >= waiting;
        let measured = if full { &mut self.full } else { &mut self.idle };
        measured.completed += did.completed as f64;
        measured.busy += did.busy.as_secs_f64();
        if measured.busy < MEASURED_OVER || measured.completed <= 0.0 {
            return;
        }
        let Measured { completed, busy } = std::mem::take(measured);
        let (does, weight) = (completed / busy, 1.0 - (-busy / FADES_OVER).exp());
        match self.known {
            Some(known) if full || does > known => self.known = Some(known + (does - known) * weight),
            None if full || does > expected => self.known = Some(does),
            _ => {}
        }
    }

    /// Scans a second of one replica; before any was busy, what is expected.
    pub(crate) fn per_replica(&self, expected: f64) -> f64 {
        self.known.unwrap_or(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of one replica that works all the time.
    fn seconds(capacity: &mut Capacity, count: u32, completed: u64, backlog: u64) {
        for _ in 0..count {
            let busy = Duration::from_secs(1);
            capacity.note(Did { completed, busy, ready: 1, backlog }, 50.0);
        }
    }

    #[test]
    fn replicas_that_work_on_small_batches_do_not_look_weak() {
        let mut capacity = Capacity::default();
        seconds(&mut capacity, 600, 25, 2);
        assert_eq!(capacity.per_replica(50.0), 50.0);
        seconds(&mut capacity, 200, 60, 2);
        assert!((capacity.per_replica(50.0) - 60.0).abs() < 1.0);
        seconds(&mut capacity, 600, 25, 2);
        assert!((capacity.per_replica(50.0) - 60.0).abs() < 1.0);
    }

    #[test]
    fn replicas_that_do_less_than_before_while_scans_wait_are_believed() {
        let mut capacity = Capacity::default();
        seconds(&mut capacity, 100, 60, 100);
        seconds(&mut capacity, 200, 30, 60);
        assert!((29.0..33.0).contains(&capacity.per_replica(50.0)));
    }
}
