//! A share of a count, with how sure one can be of it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Hits of a number of tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "[usize; 2]", into = "[usize; 2]")]
pub(crate) struct Share {
    pub(crate) hits: usize,
    /// How many could have been.
    pub(crate) of: usize,
}

/// The standard normal's 97.5 % quantile.
const Z95: f64 = 1.959_964;

impl Share {
    /// Counts the true ones.
    pub(crate) fn count(each: impl IntoIterator<Item = bool>) -> Self {
        each.into_iter().fold(Self::default(), |share, hit| Self {
            hits: share.hits + usize::from(hit),
            of: share.of + 1,
        })
    }

    /// 0 to 1; NaN of nothing.
    pub(crate) fn value(self) -> f64 {
        self.hits as f64 / self.of as f64
    }

    /// The 95 % interval of the share in the population that these were drawn from (Wilson 1927).
    pub(crate) fn interval(self) -> [f64; 2] {
        let (n, p) = (self.of as f64, self.value());
        let spread = Z95 * Z95 / n;
        let middle = (p + spread / 2.0) / (1.0 + spread);
        let half = (p * (1.0 - p) / n + spread / (4.0 * n)).sqrt() * Z95 / (1.0 + spread);
        [middle - half, middle + half]
    }
}

impl From<[usize; 2]> for Share {
    fn from([hits, of]: [usize; 2]) -> Self {
        Self { hits, of }
    }
}

impl From<Share> for [usize; 2] {
    fn from(share: Share) -> Self {
        [share.hits, share.of]
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.interval();
        write!(f, "{:.4} ({low:.4} to {high:.4})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // From Newcombe 1998, table I: 81 of 263, 0.2553 to 0.3662.
        let [low, high] = Share { hits: 81, of: 263 }.interval();
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
    }
}
