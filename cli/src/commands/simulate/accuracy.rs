//! How often the calls are right, and how sure that is.

use std::collections::BTreeMap;

use ovomesh_api::pb::scan::v1::Call;
use ovomesh_phantom::Class;
use serde::Serialize;

use crate::row::call_index;

/// A share with its Wilson 95 % interval. All three are 0, 0 and 1 of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) of: u64,
    pub(crate) share: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The share of `right` among `of`. Wilson's interval stays within 0 to 1 and holds for few and for extreme counts.
pub(crate) fn wilson(right: u64, of: u64) -> Share {
    /// Two-sided 95 % of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return Share { of, share: 0.0, low: 0.0, high: 1.0 };
    }
    let n = of as f64;
    let share = right as f64 / n;
    let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Where all or none are right the bound is exact; rounding must not say otherwise.
    let low = if right == 0 { 0.0 } else { centre - half };
    let high = if right == of { 1.0 } else { centre + half };
    Share { of, share, low, high }
}

/// What a phantom should be called.
pub(crate) fn truth(class: Class) -> Call {
    match class {
        Class::Female => Call::Female,
        Class::Male => Call::Male,
        Class::Infertile | Class::Dead => Call::NoEmbryo,
    }
}

/// Calls against truth. Scans of one egg are no independent trials, so eggs count by the call of their first scan.
#[derive(Debug, Default)]
pub(crate) struct Accuracy {
    /// Scans by class (rows) and call (columns: female, male, no embryo, undecided).
    pub(crate) confusion: [[u64; 4]; 4],
    /// The first scan of each egg that was answered with a verdict: its number, its truth, its call.
    eggs: BTreeMap<u32, (u32, Class, Call)>,
}

impl Accuracy {
    /// Scan number `scan`, of this egg, was called so.
    pub(crate) fn called(&mut self, scan: u32, egg: u32, class: Class, call: Call) {
        self.confusion[class.index()][call_index(call)] += 1;
        let first = self.eggs.entry(egg).or_insert((scan, class, call));
        if scan < first.0 {
            *first = (scan, class, call);
        }
    }

    /// Distinct eggs by their first call; UNDECIDED is not right.
    pub(crate) fn eggs(&self) -> Share {
        let right = self.eggs.values().filter(|(_, class, call)| *call == truth(*class)).count();
        wilson(right as u64, self.eggs.len() as u64)
    }

    /// Distinct eggs whose first call was a decision.
    pub(crate) fn decided_eggs(&self) -> Share {
        let decided = || self.eggs.values().filter(|(_, _, call)| call_index(*call) < 3);
        let right = decided().filter(|(_, class, call)| *call == truth(*class)).count();
        wilson(right as u64, decided().count() as u64)
    }

    /// The share over all scans. The interval would be too narrow, as eggs repeat: there is none.
    pub(crate) fn scans(&self) -> f64 {
        let right: u64 = Class::ALL.iter().map(|&c| self.confusion[c.index()][call_index(truth(c))]).sum();
        let all: u64 = self.confusion.iter().flatten().sum();
        if all == 0 { 0.0 } else { right as f64 / all as f64 }
    }

    /// Scans by call: female, male, no embryo, undecided.
    pub(crate) fn calls(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|call| self.confusion.iter().map(|row| row[call]).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Textbook values (Newcombe 1998, table I, method 3).
        for (right, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = wilson(right, of);
            assert!(
                (share.low - low).abs() < 5e-5 && (share.high - high).abs() < 5e-5,
                "{right}/{of}: {share:?}"
            );
        }
        let mirrored = wilson(20, 20);
        assert!((mirrored.low - 0.8389).abs() < 5e-5 && mirrored.high >= 1.0, "{mirrored:?}");
        assert_eq!(wilson(0, 0), Share { of: 0, share: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn an_egg_counts_once_by_its_first_scan_whatever_order_the_answers_come_in() {
        let mut accuracy = Accuracy::default();
        accuracy.called(10, 1, Class::Female, Call::Female);
        accuracy.called(2, 1, Class::Female, Call::Male);
        accuracy.called(3, 2, Class::Dead, Call::NoEmbryo);
        accuracy.called(4, 3, Class::Male, Call::Undecided);
        accuracy.called(9, 3, Class::Male, Call::Male);
        assert_eq!((accuracy.eggs().of, accuracy.decided_eggs().of), (3, 2));
        assert!((accuracy.eggs().share - 1.0 / 3.0).abs() < 1e-12, "one of three eggs was right at first");
        assert!((accuracy.decided_eggs().share - 0.5).abs() < 1e-12);
        assert!((accuracy.scans() - 0.6).abs() < 1e-12, "three of five scans were right");
        assert_eq!(accuracy.calls(), [1, 2, 1, 1]);
    }
}
