//! What is sent when: fixed before the first scan, so that a slow server cannot slow the load.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, Exp};

use super::draws::Draws;

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly spaced, one scanner after the other
    Fixed,
    /// At random times, as from many independent scanners
    Poisson,
    /// A whole tray at once, one scanner after the other
    Bursts,
}

/// One intended send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Send {
    /// When, from the start.
    pub(crate) at: Duration,
    pub(crate) scanner: u32,
    /// The how manieth of this scanner, from 0.
    pub(crate) nth: u32,
}

/// All intended sends, in order of their times.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) sends: Vec<Send>,
    /// The first one that is measured: those before it warm the services up.
    pub(crate) measured: usize,
    /// When the load ends: after the last send.
    pub(crate) end: Duration,
}

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) arrivals: Arrivals,
    pub(crate) scanners: u32,
    /// Scans per second of all scanners together.
    pub(crate) rate: f64,
    pub(crate) warmup: Duration,
    pub(crate) seconds: Duration,
    /// Eggs of a tray.
    pub(crate) tray: u32,
    pub(crate) seed: u64,
}

impl Load {
    /// About as many sends as there will be.
    pub(crate) fn expected(&self) -> f64 {
        self.rate * (self.warmup + self.seconds).as_secs_f64()
    }

    /// The plan of this load; the same for the same values.
    pub(crate) fn plan(&self) -> Plan {
        let due = match self.arrivals {
            Arrivals::Fixed => self.fixed(),
            Arrivals::Poisson => self.poisson(),
            Arrivals::Bursts => self.bursts(),
        };
        let mut nth = vec![0; self.scanners as usize];
        let number = |(at, scanner): (Duration, u32)| {
            let nth = &mut nth[scanner as usize];
            *nth += 1;
            Send { at, scanner, nth: *nth - 1 }
        };
        let sends: Vec<Send> = due.into_iter().map(number).collect();
        let measured = sends.partition_point(|send| send.at < self.warmup);
        Plan { sends, measured, end: self.end() }
    }

    fn end(&self) -> Duration {
        self.warmup + self.seconds
    }

    fn fixed(&self) -> Vec<(Duration, u32)> {
        (0u32..)
            .map(|i| (Duration::from_secs_f64(f64::from(i) / self.rate), i % self.scanners))
            .take_while(|(at, _)| *at < self.end())
            .collect()
    }

    fn poisson(&self) -> Vec<(Duration, u32)> {
        let mut random = Draws::Times.random(self.seed);
        let Ok(gaps) = Exp::new(self.rate) else { return Vec::new() };
        let (mut due, mut at) = (Vec::new(), 0.0);
        loop {
            at += gaps.sample(&mut random);
            let at = Duration::from_secs_f64(at);
            if at >= self.end() {
                return due;
            }
            due.push((at, random.random_range(0..self.scanners)));
        }
    }

    /// The trays of the scanners are spread evenly over the time that a scanner needs for a tray.
    fn bursts(&self) -> Vec<(Duration, u32)> {
        let between = f64::from(self.tray) / self.rate;
        (0u32..)
            .map(|i| (Duration::from_secs_f64(f64::from(i) * between), i % self.scanners))
            .take_while(|(at, _)| *at < self.end())
            .flat_map(|burst| std::iter::repeat_n(burst, self.tray as usize))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(arrivals: Arrivals) -> Load {
        let [warmup, seconds] = [2, 20].map(Duration::from_secs);
        Load { arrivals, scanners: 8, rate: 200.0, warmup, seconds, tray: 150, seed: 1 }
    }

    fn per_second(plan: &Plan) -> Vec<usize> {
        (0..22).map(|s| plan.sends.iter().filter(|send| send.at.as_secs() == s).count()).collect()
    }

    #[test]
    fn fixed_sends_are_evenly_spaced_over_time_and_scanners() {
        let plan = load(Arrivals::Fixed).plan();
        assert!(per_second(&plan).iter().all(|&n| n == 200), "{:?}", per_second(&plan));
        assert_eq!(plan.measured, 400, "two seconds warm up");
        assert_eq!(plan.sends[8].scanner, 0);
        assert_eq!((plan.sends[9].scanner, plan.sends[9].nth), (1, 1));
        let gaps = plan.sends.windows(2).map(|w| w[1].at - w[0].at);
        assert!(gaps.into_iter().all(|gap| gap.as_micros().abs_diff(5_000) <= 1));
    }

    #[test]
    fn poisson_sends_vary_as_they_should_and_repeat_with_the_seed() {
        let plan = load(Arrivals::Poisson).plan();
        let counts: Vec<f64> = per_second(&plan).iter().map(|&n| n as f64).collect();
        let mean = counts.iter().sum::<f64>() / 22.0;
        let variance = counts.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 21.0;
        // A Poisson count has its mean as its variance: 200, here within five standard errors.
        assert!((mean - 200.0).abs() < 15.0, "{mean}");
        assert!((60.0..500.0).contains(&variance), "{variance}");
        assert_eq!(plan.sends, load(Arrivals::Poisson).plan().sends);
        assert_ne!(plan.sends, Load { seed: 2, ..load(Arrivals::Poisson) }.plan().sends);
        assert!((0..8).all(|s| plan.sends.iter().any(|send| send.scanner == s)));
    }

    #[test]
    fn bursts_are_whole_trays_of_one_scanner() {
        let plan = load(Arrivals::Bursts).plan();
        for tray in plan.sends.chunks(150) {
            assert_eq!(tray.len(), 150);
            assert!(tray.iter().all(|send| (send.at, send.scanner) == (tray[0].at, tray[0].scanner)));
        }
        assert_eq!(plan.sends[150].at, Duration::from_millis(750), "200/s are a tray each 0.75 s");
    }
}
