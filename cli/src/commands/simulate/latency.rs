//! Latencies: percentiles without keeping every value, and a line for each second.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Largest latency kept apart, in microseconds; longer ones count as this: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// Durations with three significant figures, 1 us to ten minutes.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

/// Percentiles in milliseconds; all 0 when there was nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, LONGEST_US, 3)
                .expect("1 to 10^8.8 with three figures are valid bounds"),
        )
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1000.0,
        }
    }
}

/// One second of a run: what was sent in it, and the verdicts that arrived in it. A kill shows in the second in which the
/// delayed verdicts arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Second {
    /// From the start of the measured time.
    pub(crate) second: u64,
    pub(crate) sent: u64,
    pub(crate) verdicts: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// The seconds of a run, one after the other.
#[derive(Debug)]
pub(crate) struct Timeline {
    past: Vec<Second>,
    now: Second,
    latency: Latency,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { past: Vec::new(), now: Second::default(), latency: Latency::new() }
    }

    /// A scan was sent at this time from the start. Times never go back by a second.
    pub(crate) fn sent(&mut self, at: Duration) {
        self.turn(at);
        self.now.sent += 1;
    }

    /// A verdict arrived at this time, `took` after its intended send.
    pub(crate) fn verdict(&mut self, at: Duration, took: Duration) {
        self.turn(at);
        self.now.verdicts += 1;
        self.latency.record(took);
    }

    /// Closes all seconds before `at`.
    pub(crate) fn turn(&mut self, at: Duration) {
        while self.now.second < at.as_secs() {
            let next = self.now.second + 1;
            self.past.push(self.closed());
            self.now = Second { second: next, ..Second::default() };
            self.latency.0.reset();
        }
    }

    /// The last whole second.
    pub(crate) fn last(&self) -> Option<&Second> {
        self.past.last()
    }

    /// All seconds, the one that has begun included if anything happened in it.
    pub(crate) fn all(&self) -> Vec<Second> {
        let begun = (self.now.sent + self.now.verdicts > 0).then(|| self.closed());
        self.past.iter().copied().chain(begun).collect()
    }

    fn closed(&self) -> Second {
        let Percentiles { p50_ms, p99_ms, max_ms, .. } = self.latency.percentiles();
        Second { p50_ms, p99_ms, max_ms, ..self.now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut latency = Latency::new();
        (1..=1000).for_each(|ms| latency.record(Duration::from_millis(ms)));
        let p = latency.percentiles();
        for (value, expected) in
            [(p.p50_ms, 500.0), (p.p90_ms, 900.0), (p.p99_ms, 990.0), (p.p999_ms, 999.0), (p.max_ms, 1000.0)]
        {
            assert!((value / expected - 1.0f64).abs() < 2e-3, "{value} is not {expected}");
        }
        assert_eq!(Latency::new().percentiles(), Percentiles::default());
    }

    #[test]
    fn a_delay_shows_in_the_second_in_which_the_verdicts_came() {
        let mut timeline = Timeline::new();
        let ms = Duration::from_millis;
        timeline.sent(ms(100));
        timeline.verdict(ms(105), ms(5));
        timeline.sent(ms(990));
        timeline.verdict(ms(2_390), ms(1_400));
        let seconds = timeline.all();
        assert_eq!(
            seconds.iter().map(|s| (s.sent, s.verdicts)).collect::<Vec<_>>(),
            [(2, 1), (0, 0), (0, 1)]
        );
        assert!((seconds[0].max_ms - 5.0).abs() < 0.01);
        assert!((seconds[2].max_ms - 1_400.0).abs() < 2.0);
        assert_eq!(seconds[1].max_ms.to_bits(), 0f64.to_bits(), "nothing arrived in the second between");
    }
}
