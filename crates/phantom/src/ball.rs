//! The Fourier transform of the unit ball over its volume: `3 (sin u - u cos u) / u^3`.

use std::sync::OnceLock;

/// Table steps per unit of u^2: linear interpolation is then within 1e-4 (the scanner's noise is 1e-2).
const STEPS: f64 = 65_536.0 / 20_000.0;
/// Largest u^2: an egg 10 % above normal at 0.5 mm. Beyond it the transform is below 1e-4 and taken as constant.
const MAX_SQUARE: f64 = 80_000.0;

/// The table against u^2: value and slope to the next entry.
pub(crate) struct Ball {
    entries: Vec<[f32; 2]>,
}

impl Ball {
    /// Steps per unit of u^2.
    pub(crate) const STEPS: f64 = STEPS;

    /// The one table of this process.
    pub(crate) fn shared() -> &'static Self {
        static BALL: OnceLock<Ball> = OnceLock::new();
        BALL.get_or_init(|| {
            let value = |step: usize| transform((step as f64 / STEPS).sqrt());
            let entry = |step: usize| [value(step) as f32, (value(step + 1) - value(step)) as f32];
            let mut entries: Vec<_> = (0..(MAX_SQUARE * STEPS) as usize).map(entry).collect();
            entries.push([0.0, 0.0]);
            Self { entries }
        })
    }

    /// All entries; the last one is where larger arguments are clamped to.
    pub(crate) fn entries(&self) -> &[[f32; 2]] {
        &self.entries
    }
}

fn transform(u: f64) -> f64 {
    // The first terms of its series, where the closed form loses all digits.
    if u < 0.05 { 1.0 - u * u / 10.0 } else { 3.0 * (u.sin() - u * u.cos()) / (u * u * u) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_transform_within_1e_4() {
        let entries = Ball::shared().entries();
        for i in 0..20_000 {
            let square = f64::from(i) * 3.97;
            let at = square * STEPS;
            let [value, slope] = entries[at as usize];
            let got = f64::from(value) + at.fract() * f64::from(slope);
            assert!((got - transform(square.sqrt())).abs() < 1e-4, "u^2 = {square}: {got}");
        }
    }
}
