//! What comes: the arrivals of each trace, and what breaks.
//!
//! Numbers of the field: the fastest line scans 25,000 eggs an hour, one each 144 ms (6.9/s), or a tray of 150 at once
//! each 21.6 s.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Normal};

/// Scans of one tray.
const TRAY: u32 = 150;
/// Seconds from one tray to the next.
const TRAY_EVERY: f64 = 21.6;
/// Scans a second of one line.
pub const LINE: f64 = 25_000.0 / 3_600.0;
/// What comes before it is not counted, in seconds: autoscalers warm up.
pub const WARM_UP: f64 = 600.0;

/// When the morning begins and ends.
pub const MORNING: [f64; 2] = [WARM_UP + 1_800.0, WARM_UP + 5_400.0];

/// One scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When.
    pub at: f64,
    /// From when on anybody could know of it: the begin of the event that it belongs to; 0 for what always comes.
    pub known_from: f64,
}

/// What comes, in the order of time.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name in the report.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Scans.
    pub arrivals: Vec<Arrival>,
    /// When so many replicas die.
    pub crashes: Vec<(f64, usize)>,
    /// When it is over, in seconds.
    pub end: f64,
    /// Replicas that are ready at the begin.
    pub replicas: u32,
}

/// All traces, drawn with a seed.
pub fn all(seed: u64) -> Vec<Trace> {
    vec![steady(seed), tray_bursts(seed), morning_ramp(seed), fail_over(seed), surge(seed), pod_crash(seed)]
}

/// 200/s with 20 % noise from second to second.
fn steady(seed: u64) -> Trace {
    let mut draw = Draw::new(seed, 1);
    draw.noisy(0.0, WARM_UP + 3_600.0, 0.0, |_| 200.0);
    draw.trace("steady", "200 scans/s for an hour, 20 % noise from second to second", 5)
}

/// Lines with trays come and go.
fn tray_bursts(seed: u64) -> Trace {
    let mut draw = Draw::new(seed, 2);
    let end = WARM_UP + 3_600.0;
    for _ in 0..4 {
        draw.trays(0.0, end, 0.0);
    }
    // Six more lines work for a shift of their own.
    for _ in 0..6 {
        let from = WARM_UP + draw.random.random_range(300.0..1_500.0);
        let to = from + draw.random.random_range(900.0..1_800.0);
        draw.trays(from, to, from);
    }
    draw.trace(
        "tray-bursts",
        "4 lines, at times up to 10, each with 150 eggs at once every 21.6 s, for an hour",
        8,
    )
}

/// Lines start one after the other, and end so.
fn morning_ramp(seed: u64) -> Trace {
    let mut draw = Draw::new(seed, 3);
    let ([begin, end], minutes) = (MORNING, 10.0);
    let share = |at: f64| {
        let up = (at - begin) / (minutes * 60.0);
        let down = (end - at) / (minutes * 60.0);
        up.min(down).clamp(0.0, 1.0)
    };
    draw.noisy(0.0, WARM_UP + 7_200.0, 0.0, |at| LINE * (8.0 + 32.0 * share(at)));
    draw.trace("morning-ramp", "8 lines become 40 within 10 minutes, for an hour of two", 2)
}

/// The lines of another site come within a second or two.
fn fail_over(seed: u64) -> Trace {
    let mut draw = Draw::new(seed, 4);
    let (fails, back) = (WARM_UP + 1_800.0, WARM_UP + 3_000.0);
    draw.noisy(0.0, WARM_UP + 7_200.0, 0.0, |_| 100.0);
    draw.noisy(fails, back, fails, |at| 100.0 * ((at - fails) / 2.0).min(1.0));
    draw.trace("fail-over", "100 scans/s for two hours; for 20 minutes as many of another site", 3)
}

/// Ten times as much.
fn surge(seed: u64) -> Trace {
    let mut draw = Draw::new(seed, 5);
    let (begins, ends) = (WARM_UP + 1_800.0, WARM_UP + 2_700.0);
    draw.noisy(0.0, WARM_UP + 7_200.0, 0.0, |_| 30.0);
    draw.noisy(begins, ends, begins, |_| 270.0);
    draw.trace("surge", "30 scans/s for two hours; for 15 minutes 300", 1)
}

/// Replicas die.
fn pod_crash(seed: u64) -> Trace {
    let mut draw = Draw::new(seed, 6);
    draw.noisy(0.0, WARM_UP + 1_800.0, 0.0, |_| 200.0);
    let crashes = vec![(WARM_UP + 300.0, 3), (WARM_UP + 1_200.0, 1)];
    let trace = draw.trace("pod-crash", "200 scans/s; three replicas die, 15 minutes later one", 5);
    Trace { crashes, ..trace }
}

struct Draw {
    random: ChaCha8Rng,
    arrivals: Vec<Arrival>,
    end: f64,
}

impl Draw {
    fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self { random, arrivals: Vec::new(), end: 0.0 }
    }

    /// Independent scans with a rate that varies by a fifth from second to second.
    fn noisy(&mut self, from: f64, to: f64, known_from: f64, rate: impl Fn(f64) -> f64) {
        // The standard deviation is positive, so the distribution exists.
        let Ok(noise) = Normal::new(1.0, 0.2) else { return };
        let mut second = from;
        while second < to {
            let noise: f64 = noise.sample(&mut self.random);
            let rate: f64 = rate(second) * noise.max(0.0);
            let mut at = second;
            loop {
                at += -(1.0 - self.random.random::<f64>()).ln() / rate.max(1e-9);
                if at >= (second + 1.0).min(to) {
                    break;
                }
                self.arrivals.push(Arrival { at, known_from });
            }
            second += 1.0;
        }
        self.end = self.end.max(to);
    }

    /// A line that scans tray by tray; people put them up to half a second earlier or later.
    fn trays(&mut self, from: f64, to: f64, known_from: f64) {
        let mut tray = from + self.random.random_range(0.0..TRAY_EVERY);
        while tray < to - 1.0 {
            let begin = (tray + self.random.random_range(-0.5..0.5)).max(from);
            for _ in 0..TRAY {
                // The scanner sends a tray as fast as the network takes it.
                let at = begin + self.random.random_range(0.0..0.3);
                self.arrivals.push(Arrival { at, known_from });
            }
            tray += TRAY_EVERY;
        }
        self.end = self.end.max(to);
    }

    fn trace(mut self, name: &'static str, about: &'static str, replicas: u32) -> Trace {
        self.arrivals.sort_by(|a, b| a.at.total_cmp(&b.at));
        Trace { name, about, arrivals: self.arrivals, crashes: Vec::new(), end: self.end, replicas }
    }
}
