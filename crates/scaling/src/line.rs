//! A straight line through rates, and whether a line is what they follow.

/// Rates that are weighed by the seconds that each stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// The rate that the line has at the end, in scans/s.
    pub(crate) now: f64,
    /// What it grows by, in scans/s per second.
    pub(crate) slope: f64,
    /// How much a slope varies by chance, for a noise of 1 in one second.
    pub(crate) error: f64,
    /// What of the squares the line explains: in units of a second's noise squared it is the slope over its error, squared.
    pub(crate) explained: f64,
    /// What of them one sudden step explains, wherever it explains the most.
    pub(crate) by_step: f64,
}

impl Line {
    /// Through (scans, seconds), the newest first. Nothing, if there are fewer than three.
    pub(crate) fn through(slots: &[(f64, f64)]) -> Option<Self> {
        if slots.len() < 3 {
            return None;
        }
        let (mut weight, mut sum, mut moment) = (0.0, 0.0, 0.0);
        for &(scans, seconds) in slots {
            moment += (weight + seconds / 2.0) * seconds;
            weight += seconds;
            sum += scans;
        }
        // Age grows backwards.
        let (age_mean, mean) = (moment / weight, sum / weight);
        let (mut age, mut squares, mut products, mut newer, mut by_step) = (0.0, 0.0, 0.0, 0.0, 0.0_f64);
        for &(scans, seconds) in slots {
            let before_mean = age_mean - (age + seconds / 2.0);
            squares += seconds * before_mean.powi(2);
            products += before_mean * (scans - mean * seconds);
            age += seconds;
            newer += scans - mean * seconds;
            if age < weight {
                by_step = by_step.max(newer.powi(2) * weight / (age * (weight - age)));
            }
        }
        let slope = products / squares;
        Some(Self {
            now: mean + slope * age_mean,
            slope,
            error: squares.sqrt().recip(),
            explained: products * slope,
            by_step,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(rates: &[f64]) -> Line {
        Line::through(&rates.iter().rev().map(|&rate| (rate, 1.0)).collect::<Vec<_>>()).expect("enough")
    }

    #[test]
    fn a_line_is_found_as_it_is_whatever_the_length_of_its_slots() {
        let even = through(&(0..60).map(|n| 10.0 + 2.0 * (f64::from(n) + 0.5)).collect::<Vec<_>>());
        assert!((even.now - 130.0).abs() < 1e-9 && (even.slope - 2.0).abs() < 1e-9, "{even:?}");
        // The integral of 10 + 2 t over slots of 1, 2, 1, 2 .. seconds.
        let mut begin = 0.0;
        let slots: Vec<_> = (0..40)
            .map(|n| {
                let seconds = 1.0 + f64::from(n % 2);
                let scans = 10.0 * seconds + (begin + seconds) * (begin + seconds) - begin * begin;
                begin += seconds;
                (scans, seconds)
            })
            .collect();
        let uneven = Line::through(&slots.into_iter().rev().collect::<Vec<_>>()).expect("enough");
        assert!((uneven.now - 130.0).abs() < 1e-9 && (uneven.slope - 2.0).abs() < 1e-9, "{uneven:?}");
    }

    #[test]
    fn a_step_explains_a_step_and_three_quarters_of_a_line() {
        let line = through(&(0..100).map(f64::from).collect::<Vec<_>>());
        assert!((line.by_step / line.explained - 0.75).abs() < 0.01, "{line:?}");
        for at in 1..100 {
            let step = through(&(0..100).map(|n| if n < at { 5.0 } else { 9.0 }).collect::<Vec<_>>());
            assert!(step.by_step > step.explained * 1.3, "a step at {at}: {step:?}");
        }
    }

    #[test]
    fn two_slots_are_no_line() {
        assert_eq!(Line::through(&[(1.0, 1.0), (2.0, 1.0)]), None);
    }
}
