//! What the arrivals of the last five minutes say about the demand.
//!
//! Kept in slots of about a second. All of it is sums, means and one measure of noise, so that a decision can be told in
//! a sentence and checked with a pocket calculator.

use std::collections::VecDeque;
use std::ops::Add;

use crate::line::Line;

/// A slot is closed once it is so long, in seconds. The operator observes once a second.
const SLOT: f64 = 0.8;
/// So much is kept, in seconds: it tells what noise there is.
const KEPT: f64 = 300.0;
/// Never more slots than this, whatever the clock does.
const MOST_SLOTS: usize = 400;
/// The rate is a mean over so many seconds: with 20 % noise a second it is good to 2.6 %.
const RATE_WINDOW: f64 = 60.0;
/// What was before the newest seconds is told by so many.
const BEFORE_WINDOW: f64 = 60.0;
/// A surge is looked for in the last 2 to 30 slots. One slot is a burst, which has its own rule.
const SURGE_SLOTS: std::ops::RangeInclusive<usize> = 2..=30;
/// A surge and the slope of a trend have to be so many times what noise makes of them: by chance once in some
/// ten hours, where noise is common to all that comes.
const SIGMAS: f64 = 5.0;
/// A surge is at least so many times what was before, and a burst needs so many times the rate: less, the headroom bears
/// until the rate of the minute shows it.
const LEAST_RATIO: f64 = 1.4;
/// Slots that are needed to know what was before.
const BEFORE_SLOTS: usize = 10;
/// Noise is looked for in blocks of so many seconds: of single seconds two that follow each other share what comes between
/// two looks, and jams last.
const NOISE_BLOCKS: [f64; 2] = [3.0, 10.0];
/// With less than so many seconds a rate is not known yet, and taken for lower than it looks; bursts are seen at once.
const SHORTEST_RATE: f64 = 10.0;
/// A trend is a line through the last so many seconds: steep ones show after a few, slight ones later.
const TREND_WINDOWS: [f64; 3] = [60.0, 90.0, 120.0];
/// The noise of a trend is looked for in stretches of so many slots, longer than jams last.
const STRETCH: usize = 20;
/// Less growth is left to the headroom.
const LEAST_GROWTH: f64 = 1.1;
/// A forecast is at most so many times the rate of now: nothing of the last two minutes vouches for more.
const MOST_GROWTH: f64 = 2.0;
/// Bursts are looked for in up to so many slots.
const BURST_SLOTS: usize = 10;

/// Arrivals within one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    scans: f64,
    seconds: f64,
}

impl Add for Slot {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { scans: self.scans + other.scans, seconds: self.seconds + other.seconds }
    }
}

/// The recent arrivals, the newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arrivals {
    slots: VecDeque<Slot>,
    seconds: f64,
}

/// A rate that is beyond the noise of what was before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Surge {
    pub(crate) before: f64,
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
}

/// Scans that came close together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burst {
    pub(crate) scans: f64,
    pub(crate) seconds: f64,
    /// Scans a second that get the burst through in time.
    pub(crate) demand: f64,
}

impl Arrivals {
    /// So many scans came in so many seconds (more than 0).
    pub(crate) fn push(&mut self, scans: f64, seconds: f64) {
        self.seconds += seconds;
        match self.slots.back_mut() {
            Some(last) if last.seconds < SLOT => {
                last.scans += scans;
                last.seconds += seconds;
            }
            _ => self.slots.push_back(Slot { scans, seconds }),
        }
        while let Some(first) = self.slots.front()
            && (self.seconds - first.seconds >= KEPT || self.slots.len() > MOST_SLOTS)
        {
            self.seconds -= first.seconds;
            self.slots.pop_front();
        }
    }

    /// Scans a second over the last seconds, long enough for noise to even out.
    pub(crate) fn rate(&self) -> f64 {
        let newest = self.newest(RATE_WINDOW).fold(Slot::default(), Add::add);
        newest.scans / newest.seconds.max(SHORTEST_RATE)
    }

    /// Scans of the last so many seconds, whole slots.
    pub(crate) fn within(&self, seconds: f64) -> f64 {
        self.newest(seconds).map(|slot| slot.scans).sum()
    }

    /// The highest rate of the last seconds that noise cannot explain.
    pub(crate) fn surge(&self) -> Option<Surge> {
        let mut recent = Slot::default();
        let mut found: Option<Surge> = None;
        for (n, slot) in self.slots.iter().rev().enumerate() {
            recent = recent + *slot;
            let slots = n + 1;
            if !SURGE_SLOTS.contains(&slots) {
                continue;
            }
            let Some((mean, noise)) = self.before(slots) else { break };
            let rate = recent.scans / recent.seconds;
            let beyond = rate > (mean + SIGMAS * noise / recent.seconds.sqrt()).max(mean * LEAST_RATIO);
            if beyond && found.is_none_or(|found| rate > found.rate) {
                found = Some(Surge { before: mean, rate, seconds: recent.seconds });
            }
        }
        found
    }

    /// Scans a second, and how fast they surely grow (scans/s per second), where they do.
    pub(crate) fn trend(&self) -> Option<(f64, f64)> {
        // Without the newest slot, or one scan more could look like more noise than growth.
        let (_, noise) = self.before(1)?;
        let noise = noise.max(self.unrest()?);
        let mut least = f64::INFINITY;
        for window in TREND_WINDOWS {
            let line = self.line(window)?;
            // What the newest seconds contradict is over.
            least = least.min(line.slope + noise * line.error);
            if least <= 0.0 {
                return None;
            }
            let sure = line.slope > SIGMAS * noise * line.error;
            // A single step, wherever it lies, is better told by a step.
            if sure && line.explained > line.by_step + noise.powi(2) {
                return Some((line.now, least.min(line.slope)));
            }
        }
        None
    }

    /// The rate of now and that in so many seconds, if it grows: by a tenth at least, and at most to twice as much.
    pub(crate) fn ahead(&self, seconds: f64) -> Option<(f64, f64)> {
        let (now, growth) = self.trend()?;
        let ahead = (now + growth * seconds).min(now * MOST_GROWTH);
        (ahead >= now * LEAST_GROWTH).then_some((now, ahead))
    }

    /// The burst that needs the most, if that is more than noise makes of the rate.
    pub(crate) fn burst(&self, drain: f64) -> Option<Burst> {
        let burst = self.largest_burst(drain);
        (burst.demand > self.rate() * LEAST_RATIO).then_some(burst)
    }

    /// The scans that need the most to be through within `drain` seconds of the last of them.
    fn largest_burst(&self, drain: f64) -> Burst {
        let mut burst = Burst { scans: 0.0, seconds: 0.0, demand: 0.0 };
        let (mut scans, mut seconds) = (0.0, 0.0);
        for slot in self.slots.iter().rev().take(BURST_SLOTS) {
            scans += slot.scans;
            seconds += slot.seconds;
            // Scans of one slot may have come at once, or evenly: how, cannot be seen. Those of several slots came over
            // about one slot less than these last.
            let demand = scans / (seconds - slot.seconds + drain).max(seconds);
            if demand > burst.demand {
                burst = Burst { scans, seconds, demand };
            }
        }
        burst
    }

    /// The line through the last so many seconds, if they are known.
    fn line(&self, length: f64) -> Option<Line> {
        let slots: Vec<_> = self.newest(length).map(|slot| (slot.scans, slot.seconds)).collect();
        let seconds: f64 = slots.iter().map(|(_, seconds)| seconds).sum();
        if seconds >= length * 0.9 { Line::through(&slots) } else { None }
    }

    /// Noise (of one second) of all that is kept, out of how the rate bends over three stretches, wherever they lie: a
    /// steady growth does not, and jams do. Nothing, as long as there is too little to tell.
    fn unrest(&self) -> Option<f64> {
        let slots: Vec<_> = self.slots.iter().copied().collect();
        let (mut squares, mut count) = (0.0, 0);
        for three in slots.windows(3 * STRETCH) {
            let sum = |n: usize| {
                three[n * STRETCH..(n + 1) * STRETCH].iter().copied().fold(Slot::default(), Add::add)
            };
            let [a, b, c] = [0, 1, 2].map(sum);
            let bend = a.scans / a.seconds - 2.0 * b.scans / b.seconds + c.scans / c.seconds;
            squares += bend.powi(2) * b.seconds;
            count += 1;
        }
        (count >= STRETCH).then(|| (squares / (6 * count) as f64).sqrt())
    }

    /// The whole slots of the last so many seconds, the newest first.
    fn newest(&self, length: f64) -> impl Iterator<Item = Slot> {
        self.slots.iter().rev().copied().scan(0.0, move |age, slot| {
            let within = *age < length - SLOT / 2.0;
            *age += slot.seconds;
            within.then_some(slot)
        })
    }

    /// The mean of the minute before the newest slots, and the noise (of one second) of all before them. Noise is what
    /// differs from one block of seconds to the next, so that growth is not taken for it. It is at least that of
    /// independent arrivals.
    fn before(&self, newest: usize) -> Option<(f64, f64)> {
        let (mut minute, mut slots) = (Slot::default(), 0);
        let mut differences = NOISE_BLOCKS.map(Differences::new);
        for &slot in self.slots.iter().rev().skip(newest) {
            if minute.seconds < BEFORE_WINDOW {
                minute = minute + slot;
            }
            slots += 1;
            differences.iter_mut().for_each(|differences| differences.push(slot));
        }
        if slots < BEFORE_SLOTS {
            return None;
        }
        let mean = minute.scans / minute.seconds;
        let variance = differences.iter().map(Differences::variance).fold(mean.max(1.0), f64::max);
        Some((mean, variance.sqrt()))
    }
}

/// How much a rate over `block` seconds differs from the next one.
struct Differences {
    block: f64,
    open: Slot,
    last: Option<f64>,
    count: usize,
    squares: f64,
    largest: f64,
}

impl Differences {
    fn new(block: f64) -> Self {
        Self { block, open: Slot::default(), last: None, count: 0, squares: 0.0, largest: 0.0 }
    }

    fn push(&mut self, slot: Slot) {
        self.open = self.open + slot;
        if self.open.seconds < self.block - SLOT / 2.0 {
            return;
        }
        let rate = self.open.scans / self.open.seconds;
        if let Some(last) = self.last.replace(rate) {
            let square = (rate - last).powi(2) * self.open.seconds;
            self.squares += square;
            self.largest = self.largest.max(square);
            self.count += 1;
        }
        self.open = Slot::default();
    }

    /// Variance of the scans of one second, if seconds were independent: half the mean square of two that differ. The
    /// largest is left out: a single step is no noise.
    fn variance(&self) -> f64 {
        (self.squares - self.largest) / (2 * self.count.saturating_sub(1).max(1)) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(counts: impl IntoIterator<Item = f64>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        counts.into_iter().for_each(|count| arrivals.push(count, 1.0));
        arrivals
    }

    fn steady(rate: f64) -> impl Iterator<Item = f64> {
        (0..120).map(move |n| rate * if n % 4 < 2 { 0.8 } else { 1.2 })
    }

    #[test]
    fn a_doubled_rate_is_a_surge_after_two_seconds_and_counts_in_full() {
        assert_eq!(seconds(steady(100.0)).surge(), None);
        assert_eq!(seconds(steady(100.0).chain([150.0])).surge(), None);
        let surge = seconds(steady(100.0).chain([200.0; 2])).surge().expect("twice as much");
        assert!(surge.rate >= 200.0 && (95.0..105.0).contains(&surge.before), "{surge:?}");
    }

    #[test]
    fn growth_is_told_forward_and_a_step_is_not() {
        let ramp = seconds((0..120).map(|n| 50.0 + f64::from(n) * 0.5 + f64::from(n % 2)));
        let (now, ahead) = ramp.ahead(60.0).expect("it grows");
        assert!((105.0..112.0).contains(&now), "{now}");
        assert!((120.0..142.0).contains(&ahead), "{ahead}");
        for at in 0..120 {
            let step = seconds((0..120).map(|n| if n < at { 30.0 } else { 300.0 }));
            assert_eq!(step.trend(), None, "a step {at} s after the begin");
        }
        assert_eq!(seconds(steady(100.0)).trend(), None);
    }

    #[test]
    fn growth_shows_within_a_minute_and_a_half_of_its_begin_and_ends_with_it() {
        let noisy = |n: i32| if n % 4 < 2 { -8.0 } else { 8.0 };
        let rate = |n: i32| 60.0 + 0.4 * f64::from(n.clamp(0, 300)) + noisy(n);
        let at = |now: i32| seconds((now - 300..=now).map(rate)).trend();
        assert_eq!(at(20), None);
        let (now, growth) = at(80).expect("it has grown for 80 s");
        assert!((86.0..98.0).contains(&now) && (0.3..0.5).contains(&growth), "{now} {growth}");
        assert_eq!(at(360), None, "the newest minute is level");
    }

    #[test]
    fn jams_of_ten_seconds_are_no_trend_wherever_they_lie() {
        let mut seed = 1_u32;
        let rates: Vec<f64> = (0..20_000)
            .scan(0.0, |jam, n| {
                if n % 10 == 0 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *jam = 100.0 * (0.8 + 0.4 * f64::from(seed) / f64::from(u32::MAX));
                }
                Some(*jam)
            })
            .collect();
        let trends = rates.windows(301).filter(|window| seconds(window.iter().copied()).trend().is_some());
        assert!(trends.count() < 20, "of 20,000 seconds");
    }

    #[test]
    fn a_tray_asks_for_what_gets_it_through_in_time_each_time() {
        let trays = (0..110).map(|n| if n % 22 == 0 { 150.0 } else { 0.0 });
        let arrivals = seconds(trays.chain([150.0]));
        let burst = arrivals.burst(1.5).expect("a tray");
        assert!((burst.demand - 100.0).abs() < 1e-9);
        assert_eq!(arrivals.surge(), None, "trays are the noise of trays");
        assert_eq!(arrivals.trend(), None);
    }

    #[test]
    fn an_even_rate_is_no_burst_however_short_the_drain() {
        for drain in [0.1, 0.5, 1.5, 10.0] {
            let even = seconds([100.0; 60]);
            assert!(even.largest_burst(drain).demand <= 100.0);
            assert_eq!(even.burst(drain), None);
        }
    }

    #[test]
    fn slots_are_bounded_and_short_looks_are_put_together() {
        let mut arrivals = Arrivals::default();
        for _ in 0..100_000 {
            arrivals.push(0.1, 0.001);
        }
        assert!(arrivals.slots.len() <= MOST_SLOTS);
        assert!((arrivals.rate() - 100.0).abs() < 1.0, "{}", arrivals.rate());
    }
}
