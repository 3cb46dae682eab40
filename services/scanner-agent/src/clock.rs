//! The agent's clock: the machine's clock since its boot, set by the gateways'. Small industrial PCs start in 1970 or an
//! hour off, and somebody sets their time of day while scans arrive. So the time of day is used only until a gateway has
//! sent its time. Afterwards a step of it says that one of the two clocks is wrong: the rows of that time are marked, until
//! a gateway was asked again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ovomesh_api::ScanMeta;
use ovomesh_api::time::{AcquiredAt, Given};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::deadline::since_boot;

/// Differences that are smaller are noise of the network, or a clock that somebody keeps right.
const NOISE: SignedDuration = SignedDuration::from_secs(1);
/// How often the time of day is compared with the clock since boot while nothing is stamped.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a machine's clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Since the machine's boot, also while it slept. Nobody can set it.
    pub since_boot: SignedDuration,
    /// The time of day, which anybody can set.
    pub time_of_day: Timestamp,
}

/// Where the machine's clocks are read.
type Machine = Box<dyn Fn() -> Shown + Send + Sync>;

/// The time, as far as the agent knows it.
pub struct Clock {
    machine: Machine,
    state: Mutex<State>,
    stepped: Notify,
}

/// What is known of the time. Offsets are from the clock since boot.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Of the time that rows are stamped with.
    offset: SignedDuration,
    /// Of the time of day when it was last looked at.
    time_of_day: SignedDuration,
    trust: Trust,
}

/// Why the time is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// No gateway has sent its time yet: it is the time of day.
    Unknown,
    /// A gateway has sent it.
    Vouched,
    /// A gateway had sent it, and the time of day was set since.
    Stepped,
}

/// By what clock a scan was stamped when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// From the clock since boot to the time that it was stamped with. `None`: that was before this boot.
    pub offset: Option<SignedDuration>,
    /// Microseconds that were added to the time of day; `None`: no gateway had vouched for the time.
    pub correction: Option<i64>,
    /// What the scanner gave as `acquired_at`: unless it is a time, that is the agent's, too.
    pub given: Given,
}

impl Default for Clock {
    fn default() -> Self {
        Self::of(Box::new(|| Shown {
            since_boot: SignedDuration::try_from(since_boot()).unwrap_or(SignedDuration::MAX),
            time_of_day: Timestamp::now(),
        }))
    }
}

impl Clock {
    fn of(machine: Machine) -> Self {
        let time_of_day = machine().time_of_day_offset();
        let state = State { offset: time_of_day, time_of_day, trust: Trust::Unknown };
        Self { machine, state: Mutex::new(state), stepped: Notify::new() }
    }

    /// The time, as far as it is known.
    pub fn now(&self) -> Timestamp {
        let (shown, state) = self.look();
        at(shown.since_boot, state.offset)
    }

    /// The time, and by what clock it is, for a scan that arrives now.
    pub fn stamp(&self, given: Given) -> (Timestamp, Stamp) {
        let (shown, state) = self.look();
        let now = at(shown.since_boot, state.offset);
        let off = state.offset.saturating_sub(state.time_of_day);
        let correction = (state.trust == Trust::Vouched).then(|| i64::try_from(off.as_micros()).unwrap_or(0));
        (now, Stamp { offset: Some(state.offset), correction, given })
    }

    /// A gateway's clock shows this now. What the way took is not known, and small.
    pub fn correct(&self, gateway: Timestamp) {
        let shown = (self.machine)();
        let time_of_day = shown.time_of_day_offset();
        let offset = offset(gateway, shown.since_boot);
        *self.state.lock() = State { offset, time_of_day, trust: Trust::Vouched };
    }

    /// Comes back when the time of day was set after a gateway had sent its time: one is to be asked again.
    pub async fn is_stepped(&self) {
        loop {
            let stepped = self.stepped.notified();
            if self.look().1.trust == Trust::Stepped {
                return;
            }
            // Either somebody else looks and sees it, or it is time to look.
            let _ = tokio::time::timeout(LOOK_EVERY, stepped).await;
        }
    }

    /// Moves a scan's times to the clock of the gateways, if that became known after they were stamped. Times that nobody
    /// can vouch for are marked.
    pub fn correct_times(&self, meta: &mut ScanMeta, stamp: Stamp) {
        let (_, state) = self.look();
        let vouched = state.trust == Trust::Vouched;
        // Since it was stamped. A scan of before this boot moves as if the time of day had been as wrong then as it is now.
        let moved = match (stamp.offset, stamp.correction) {
            (Some(offset), _) => state.offset.saturating_sub(offset),
            (None, Some(_)) => SignedDuration::ZERO,
            (None, None) => state.offset.saturating_sub(state.time_of_day),
        };
        let is_moved = moved.abs() >= NOISE;
        let mut is_doubtful = stamp.given == Given::Nonsense || state.trust == Trust::Stepped;
        if stamp.correction.is_some() {
            // It was right by the gateway of then; if another one disagrees, nobody knows which is right.
            is_doubtful |= vouched && is_moved;
        } else if vouched && is_moved {
            meta.received_at = meta.received_at.saturating_add(moved).unwrap_or(meta.received_at);
            if stamp.given != Given::Time {
                meta.acquired_at = meta.acquired_at.saturating_add(moved).unwrap_or(meta.acquired_at);
            }
        }
        is_doubtful |= stamp.correction.is_none() && (!vouched || stamp.offset.is_none());
        let acquired = AcquiredAt { at: meta.acquired_at, given: stamp.given };
        meta.clock_suspect = is_doubtful || acquired.is_suspect(meta.received_at);
    }

    /// What the machine shows, and what is known of it. Notices a step of the time of day.
    fn look(&self) -> (Shown, State) {
        let mut state = self.state.lock();
        // Read under the lock: else an older reading could pass for a step back.
        let shown = (self.machine)();
        let time_of_day = shown.time_of_day_offset();
        let step = time_of_day.saturating_sub(state.time_of_day);
        if step.abs() >= NOISE {
            state.time_of_day = time_of_day;
            if state.trust == Trust::Unknown {
                state.offset = time_of_day;
            } else {
                state.trust = Trust::Stepped;
                self.stepped.notify_waiters();
            }
            tracing::warn!(seconds = step.as_secs(), "the machine's time of day was set");
        }
        (shown, *state)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

impl Shown {
    fn time_of_day_offset(self) -> SignedDuration {
        offset(self.time_of_day, self.since_boot)
    }
}

/// From the clock since boot to a time.
pub fn offset(time: Timestamp, since_boot: SignedDuration) -> SignedDuration {
    time.as_duration().saturating_sub(since_boot)
}

fn at(since_boot: SignedDuration, offset: SignedDuration) -> Timestamp {
    let time = since_boot.saturating_add(offset);
    Timestamp::from_duration(time).unwrap_or(if time.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ovomesh_api::time;
    use ovomesh_api::volume::smallest;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    /// A machine whose clocks the test moves, and the truth.
    #[derive(Clone)]
    struct Simulated(Arc<Mutex<Shown>>);

    impl Simulated {
        /// Booted an hour ago, in 2026, with a time of day that is this much off.
        fn off(by: SignedDuration) -> (Self, Clock) {
            let shown = Shown { since_boot: HOUR, time_of_day: start() + by };
            let machine = Self(Arc::new(Mutex::new(shown)));
            let read = machine.clone();
            (machine, Clock::of(Box::new(move || *read.0.lock())))
        }

        fn pass(&self, time: SignedDuration) {
            let mut shown = self.0.lock();
            shown.since_boot += time;
            shown.time_of_day += time;
        }

        fn step(&self, by: SignedDuration) {
            self.0.lock().time_of_day += by;
        }

        /// What a right clock shows.
        fn truth(&self) -> Timestamp {
            start() + (self.0.lock().since_boot - HOUR)
        }
    }

    fn start() -> Timestamp {
        Timestamp::from_second(1_795_510_800).unwrap()
    }

    #[test]
    fn a_clock_that_is_off_follows_the_gateway() {
        for off in [HOUR, HOUR * -24 * 365 * 50] {
            let (machine, clock) = Simulated::off(off);
            assert_eq!(clock.now(), machine.truth() + off);
            clock.correct(machine.truth());
            machine.pass(HOUR);
            assert_eq!(clock.now(), machine.truth());
        }
    }

    #[test]
    fn times_from_before_the_gateway_was_heard_are_moved_and_those_that_nobody_vouches_for_are_marked() {
        let (machine, clock) = Simulated::off(HOUR * -2);
        let [by_agent, by_scanner, replaced] =
            [Given::Nothing, Given::Time, Given::Nonsense].map(|given| clock.stamp(given).1);
        let received = clock.now();
        let corrected = |at, stamp| corrected(&clock, at, stamp);
        assert_eq!(corrected(received, by_agent), (-120, -120, true), "nobody knows");
        clock.correct(machine.truth());
        assert_eq!(corrected(received, by_agent), (0, 0, false));
        assert_eq!(
            corrected(received, by_scanner),
            (-120, 0, true),
            "the scanner's own clock is two hours off"
        );
        assert_eq!(corrected(received, replaced), (0, 0, true), "the scanner gave an impossible time");
        let (now, known) = clock.stamp(Given::Nothing);
        assert_eq!(corrected(now, known), (0, 0, false), "it was known when the scan came");
        assert_eq!(corrected(now, Stamp { given: Given::Nonsense, ..known }), (0, 0, true));
        // After another boot, whose time of day is as wrong.
        assert_eq!(
            corrected(now, Stamp { offset: None, ..known }),
            (0, 0, false),
            "it was right, and still is"
        );
        assert_eq!(
            corrected(received, Stamp { offset: None, ..by_agent }),
            (0, 0, true),
            "as good as can be"
        );
    }

    #[test]
    fn a_step_of_the_time_of_day_moves_no_time_and_is_marked_until_a_gateway_is_heard_again() {
        for step in [HOUR, HOUR * -1, SignedDuration::from_secs(2)] {
            let (machine, clock) = Simulated::off(SignedDuration::ZERO);
            clock.correct(machine.truth());
            let before = clock.stamp(Given::Nothing);
            machine.step(step);
            let after = clock.stamp(Given::Nothing);
            assert_eq!((before.0, after.0), (machine.truth(), machine.truth()));
            for (at, stamp) in [before, after] {
                assert_eq!(corrected(&clock, at, stamp), (0, 0, true), "stepped by {step}");
            }
            machine.pass(HOUR);
            assert_eq!(clock.now(), machine.truth());
            clock.correct(machine.truth());
            assert_eq!(corrected(&clock, after.0, after.1), (0, 0, false), "the step was not ours");
            machine.pass(HOUR);
            let (now, stamp) = clock.stamp(Given::Nothing);
            assert_eq!((now, corrected(&clock, now, stamp)), (machine.truth(), (120, 120, false)));
        }
    }

    /// As in a virtual machine that was stopped for an hour, and whose host then set its time of day.
    #[test]
    fn a_scan_that_was_stamped_before_the_clock_since_boot_went_wrong_is_marked() {
        let (machine, clock) = Simulated::off(SignedDuration::ZERO);
        clock.correct(machine.truth());
        let (at, stamp) = clock.stamp(Given::Nothing);
        machine.step(HOUR);
        clock.correct(machine.truth() + HOUR);
        assert_eq!(corrected(&clock, at, stamp), (0, 0, true));
    }

    #[test]
    fn the_time_of_day_counts_until_a_gateway_is_heard() {
        let (machine, clock) = Simulated::off(HOUR * -24);
        let early = clock.stamp(Given::Nothing);
        machine.step(HOUR * 24);
        let late = clock.stamp(Given::Nothing);
        assert_eq!(late.0, machine.truth());
        clock.correct(machine.truth());
        for (at, stamp) in [early, late] {
            assert_eq!(corrected(&clock, at, stamp), (0, 0, false));
        }
    }

    #[test]
    fn a_clock_that_is_slewed_is_not_stepped() {
        let (machine, clock) = Simulated::off(SignedDuration::ZERO);
        clock.correct(machine.truth());
        machine.step(SignedDuration::from_millis(999));
        let (now, stamp) = clock.stamp(Given::Nothing);
        assert_eq!(corrected(&clock, now, stamp), (0, 0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_noticed_within_a_second_while_nothing_happens() {
        let (machine, clock) = Simulated::off(SignedDuration::ZERO);
        clock.correct(machine.truth());
        let watching = async {
            let stepped = tokio::time::timeout(Duration::from_secs(60), clock.is_stepped()).await;
            assert!(stepped.is_err(), "nothing was set");
            machine.step(HOUR);
            tokio::time::timeout(Duration::from_secs(1), clock.is_stepped()).await.expect("within a second");
        };
        watching.await;
        clock.correct(machine.truth());
        assert!(tokio::time::timeout(Duration::from_secs(60), clock.is_stepped()).await.is_err());
    }

    /// The minutes of acquired_at and received_at after the start, and the flag, of a scan that was received then.
    fn corrected(clock: &Clock, at: Timestamp, stamp: Stamp) -> (i64, i64, bool) {
        let mut meta = meta(at);
        clock.correct_times(&mut meta, stamp);
        let minutes = |at: Timestamp| at.duration_since(start()).as_mins();
        (minutes(meta.acquired_at), minutes(meta.received_at), meta.clock_suspect)
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
