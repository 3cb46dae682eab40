//! What the arrivals of the last two minutes say about the demand.
//!
//! Kept in slots of about a second. All of it is sums, means and one measure of noise, so that a decision can be told in
//! a sentence and checked with a pocket calculator.

use std::collections::VecDeque;
use std::ops::Add;

/// A slot is closed once it is so long, in seconds. The operator observes once a second.
const SLOT: f64 = 0.8;
/// So much is kept, in seconds: a surge of half a minute and a minute before it, or the four parts of a trend.
const KEPT: f64 = 125.0;
/// Never more slots than this, whatever the clock does.
const MOST_SLOTS: usize = 256;
/// The rate is a mean over so many seconds: with 20 % noise a second it is good to 3 %.
const RATE_WINDOW: f64 = 40.0;
/// What was before the newest seconds is told by so many.
const BEFORE_WINDOW: f64 = 60.0;
/// A surge is looked for in the last 2 to 30 slots. One slot is a burst, which has its own rule.
const SURGE_SLOTS: std::ops::RangeInclusive<usize> = 2..=30;
/// A surge has to be so many times the noise above what was before: by chance once in some hundred hours.
const SURGE_SIGMAS: f64 = 5.0;
/// A surge is at least so many times what was before: less, the headroom bears until the rate of the minute shows it.
const SURGE_RATIO: f64 = 1.4;
/// Slots that are needed to know what was before.
const BEFORE_SLOTS: usize = 10;
/// Noise is looked for in blocks of so many seconds: of single seconds two that follow each other share what comes between
/// two looks, and jams last.
const NOISE_BLOCKS: [f64; 2] = [3.0, 10.0];
/// With less than so many seconds a rate is not known yet, and taken for lower than it looks; bursts are seen at once.
const SHORTEST_RATE: f64 = 10.0;
/// A trend is growth over each of four such parts, in seconds. A single step, wherever it lies, leaves one of the three
/// differences unmoved, so it is not taken for a trend.
const TREND_PART: f64 = 30.0;
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
        let [scans, seconds] = self.newest_seconds(0.0, RATE_WINDOW);
        scans / seconds.max(SHORTEST_RATE)
    }

    /// Scans of the last so many seconds, whole slots.
    pub(crate) fn within(&self, seconds: f64) -> f64 {
        self.newest_seconds(0.0, seconds)[0]
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
            let beyond = rate > (mean + SURGE_SIGMAS * noise / recent.seconds.sqrt()).max(mean * SURGE_RATIO);
            if beyond && found.is_none_or(|found| rate > found.rate) {
                found = Some(Surge { before: mean, rate, seconds: recent.seconds });
            }
        }
        found
    }

    /// Scans a second, and how fast they surely grow (scans/s per second), where they do.
    pub(crate) fn trend(&self) -> Option<(f64, f64)> {
        let mut parts = [0.0; 4];
        for (n, part) in parts.iter_mut().enumerate() {
            let [scans, seconds] = self.newest_seconds(n as f64 * TREND_PART, TREND_PART);
            if seconds < TREND_PART * 0.9 {
                return None;
            }
            *part = scans / seconds;
        }
        // Without the newest slot, or one scan more could look like more noise than growth.
        let (_, noise) = self.before(1)?;
        let [newest, ..] = parts;
        let growth = parts.windows(2).map(|pair| pair[0] - pair[1]).fold(f64::INFINITY, f64::min);
        // Half the noise of a difference of two parts: the least of three differences is low already.
        let sure = growth - 0.5 * noise * (2.0 / TREND_PART).sqrt();
        (sure > 0.0).then(|| (newest + sure / 2.0, sure / TREND_PART))
    }

    /// The rate of now and that in so many seconds, if it grows: by a tenth at least, and at most to twice as much.
    pub(crate) fn ahead(&self, seconds: f64) -> Option<(f64, f64)> {
        let (now, growth) = self.trend()?;
        let ahead = (now + growth * seconds).min(now * MOST_GROWTH);
        (ahead >= now * LEAST_GROWTH).then_some((now, ahead))
    }

    /// The burst that needs the most to be through within `drain` seconds of its last scan.
    pub(crate) fn burst(&self, drain: f64) -> Burst {
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

    /// Sum of scans and seconds over whole slots that begin at most `skip` to `skip + length` seconds before now.
    fn newest_seconds(&self, skip: f64, length: f64) -> [f64; 2] {
        let (mut age, mut sum) = (0.0, [0.0, 0.0]);
        for slot in self.slots.iter().rev() {
            if age >= skip + length - SLOT / 2.0 {
                break;
            }
            if age >= skip - SLOT / 2.0 {
                sum = [sum[0] + slot.scans, sum[1] + slot.seconds];
            }
            age += slot.seconds;
        }
        sum
    }

    /// Mean and noise (of one second) of the minute before the newest slots. Noise is what differs from one block of
    /// seconds to the next, so that growth is not taken for it. It is at least that of independent arrivals.
    fn before(&self, newest: usize) -> Option<(f64, f64)> {
        let (mut all, mut slots) = (Slot::default(), 0);
        let mut differences = NOISE_BLOCKS.map(Differences::new);
        for &slot in self.slots.iter().rev().skip(newest) {
            all = all + slot;
            slots += 1;
            differences.iter_mut().for_each(|differences| differences.push(slot));
            if all.seconds >= BEFORE_WINDOW {
                break;
            }
        }
        if slots < BEFORE_SLOTS {
            return None;
        }
        let mean = all.scans / all.seconds;
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
}

impl Differences {
    fn new(block: f64) -> Self {
        Self { block, open: Slot::default(), last: None, count: 0, squares: 0.0 }
    }

    fn push(&mut self, slot: Slot) {
        self.open = self.open + slot;
        if self.open.seconds < self.block - SLOT / 2.0 {
            return;
        }
        let rate = self.open.scans / self.open.seconds;
        if let Some(last) = self.last.replace(rate) {
            self.squares += (rate - last).powi(2) * self.open.seconds;
            self.count += 1;
        }
        self.open = Slot::default();
    }

    /// Variance of the scans of one second, if seconds were independent: half the mean square of two that differ.
    fn variance(&self) -> f64 {
        self.squares / (2 * self.count.max(1)) as f64
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
    fn a_tray_asks_for_what_gets_it_through_in_time_each_time() {
        let trays = (0..110).map(|n| if n % 22 == 0 { 150.0 } else { 0.0 });
        let arrivals = seconds(trays.chain([150.0]));
        assert!((arrivals.burst(1.5).demand - 100.0).abs() < 1e-9);
        assert_eq!(arrivals.surge(), None, "trays are the noise of trays");
        assert_eq!(arrivals.trend(), None);
    }

    #[test]
    fn an_even_rate_is_no_burst_however_short_the_drain() {
        for drain in [0.1, 0.5, 1.5, 10.0] {
            assert!(seconds([100.0; 60]).burst(drain).demand <= 100.0);
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
