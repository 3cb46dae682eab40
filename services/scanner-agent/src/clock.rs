//! The agent's clock, corrected by the gateways': small industrial PCs start in 1970 or an hour off.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use jiff::{SignedDuration, Timestamp};
use ovomesh_api::ScanMeta;
use ovomesh_api::time::{AcquiredAt, Given};

/// Nothing was heard of a gateway's clock yet.
const UNKNOWN: i64 = i64::MIN;
/// A correction that changed by less than this is noise of the network.
const NOISE: SignedDuration = SignedDuration::from_secs(1);

/// The system's clock and how far it is off.
#[derive(Debug)]
pub struct Clock {
    /// Microseconds to add; [`UNKNOWN`] until a gateway has told its time.
    correction: AtomicI64,
}

/// By what clock a scan was stamped when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Microseconds that were added to the system's clock; None: it was not known by how much it is off.
    pub correction: Option<i64>,
    /// What the scanner gave as `acquired_at`: unless it is a time, that is the agent's, too.
    pub given: Given,
}

impl Default for Clock {
    fn default() -> Self {
        Self { correction: AtomicI64::new(UNKNOWN) }
    }
}

impl Clock {
    /// The time, as far as it is known.
    pub fn now(&self) -> Timestamp {
        let system = Timestamp::now();
        let correction = SignedDuration::from_micros(self.correction().unwrap_or(0));
        system.checked_add(correction).unwrap_or(system)
    }

    /// Microseconds that are added to the system's clock, once that is known.
    pub fn correction(&self) -> Option<i64> {
        Some(self.correction.load(Relaxed)).filter(|correction| *correction != UNKNOWN)
    }

    /// A gateway's clock shows this now. What the way took is not known, and small.
    pub fn correct(&self, gateway: Timestamp) {
        let off = gateway.duration_since(Timestamp::now());
        self.correction.store(i64::try_from(off.as_micros()).unwrap_or(0), Relaxed);
    }

    /// Moves a scan's times to the clock of the gateways, if that became known after they were stamped. Times that nobody
    /// can vouch for are marked.
    pub fn correct_times(&self, meta: &mut ScanMeta, stamp: Stamp) {
        meta.clock_suspect |= stamp.given == Given::Nonsense;
        let Some(correction) = self.correction() else {
            meta.clock_suspect = true;
            return;
        };
        let moved = SignedDuration::from_micros(correction.saturating_sub(stamp.correction.unwrap_or(0)));
        if moved.abs() < NOISE {
            return;
        }
        meta.received_at = meta.received_at.checked_add(moved).unwrap_or(meta.received_at);
        if stamp.given != Given::Time {
            meta.acquired_at = meta.acquired_at.checked_add(moved).unwrap_or(meta.acquired_at);
        }
        let acquired = AcquiredAt { at: meta.acquired_at, given: stamp.given };
        meta.clock_suspect = acquired.is_suspect(meta.received_at);
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::time;
    use ovomesh_api::volume::smallest;

    use super::*;

    #[test]
    fn a_clock_that_is_off_follows_the_gateway() {
        let clock = Clock::default();
        let hour = SignedDuration::from_hours(1);
        for gateway in [Timestamp::now() + hour, Timestamp::now() - hour * 24 * 365 * 50] {
            clock.correct(gateway);
            assert!(clock.now().duration_since(gateway).abs() < SignedDuration::from_secs(1), "{gateway}");
        }
    }

    #[test]
    fn times_from_before_the_gateway_was_heard_are_moved_and_those_that_nobody_vouches_for_are_marked() {
        let clock = Clock::default();
        let stamp = |given| Stamp { correction: clock.correction(), given };
        let [by_agent, by_scanner, replaced] = [Given::Nothing, Given::Time, Given::Nonsense].map(stamp);
        let (start, hour) = (Timestamp::now(), SignedDuration::from_hours(1));
        let times = |meta: &ScanMeta| {
            let minutes = |at: Timestamp| at.duration_since(start).as_mins();
            (minutes(meta.acquired_at), minutes(meta.received_at), meta.clock_suspect)
        };
        let corrected = |stamp| {
            let mut meta = meta(start);
            clock.correct_times(&mut meta, stamp);
            times(&meta)
        };
        assert_eq!(corrected(by_agent), (0, 0, true), "nobody knows");
        clock.correct(start + hour * 2);
        assert_eq!(corrected(by_agent), (119, 119, false));
        assert_eq!(corrected(by_scanner), (0, 119, true), "the scanner's own clock is two hours off");
        assert_eq!(corrected(replaced), (119, 119, true), "the scanner gave an impossible time");
        assert_eq!(corrected(stamp(Given::Nothing)), (0, 0, false), "it was known when the scan came");
        assert_eq!(corrected(stamp(Given::Nonsense)), (0, 0, true));
    }

    fn meta(at: Timestamp) -> ScanMeta {
        let place =
            ovomesh_api::pb::scan::v1::Place { site: "s".into(), line: "l".into(), ..Default::default() };
        let scan = ovomesh_api::pb::scan::v1::Scan {
            scan_id: "a".into(),
            place: Some(place),
            volume: Some(smallest(0)),
            acquired_at: Some(time::to_pb(at)),
            ..Default::default()
        };
        ovomesh_api::Scan::parse(scan, u64::MAX, at).expect("a valid scan").meta
    }
}
