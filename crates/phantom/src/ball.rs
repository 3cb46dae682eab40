//! The Fourier transform of the unit ball over its volume: `3 (sin u - u cos u) / u^3`.

use std::sync::OnceLock;

/// Table steps per unit of u^2: a value with its slope is then within 1e-4 half a step away (noise is 1e-2).
const STEPS: f64 = 65_536.0 / 20_000.0;
/// Entries, for u^2 up to 80,000: an egg 10 % above normal at 0.5 mm. Beyond, the transform is below 1e-4.
const ENTRIES: usize = 1 << 18;

/// The table against u^2.
pub(crate) struct Ball {
    /// Value and slope at each step.
    entries: Box<[[f32; 2]; ENTRIES]>,
}

impl Ball {
    /// Steps per unit of u^2.
    pub(crate) const STEPS: f64 = STEPS;

    /// The one table of this process.
    pub(crate) fn shared() -> &'static Self {
        static BALL: OnceLock<Ball> = OnceLock::new();
        BALL.get_or_init(|| {
            let value = |step: f64| transform((step / STEPS).sqrt());
            let slope = |step: f64| value(step + 0.5) - value((step - 0.5).max(0.0));
            // At 0 only half a step lies inside.
            let mut entries = vec![[1.0, 2.0 * slope(0.0) as f32]];
            entries.extend((1..ENTRIES).map(|step| [value(step as f64) as f32, slope(step as f64) as f32]));
            let entries = entries.into_boxed_slice().try_into();
            Self { entries: entries.unwrap_or_else(|_| unreachable!("as many entries as the table has")) }
        })
    }

    /// The transform at `steps = u^2 * STEPS`, 0 or more.
    #[inline]
    pub(crate) fn at(&self, steps: f32) -> f32 {
        // Adding 2^23 rounds to the nearest integer and leaves it in the low bits: cheaper than a checked
        // cast.
        const INTEGERS: f32 = 8_388_608.0;
        let shifted = steps.min((ENTRIES - 1) as f32) + INTEGERS;
        let [value, slope] = self.entries[shifted.to_bits() as usize & (ENTRIES - 1)];
        let off = (steps - (shifted - INTEGERS)).clamp(-0.5, 0.5);
        value + off * slope
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
        for i in 0..20_000 {
            let square = f64::from(i) * 3.97;
            let got = Ball::shared().at((square * STEPS) as f32);
            assert!((f64::from(got) - transform(square.sqrt())).abs() < 1e-4, "u^2 = {square}: {got}");
        }
    }

    #[test]
    fn beyond_the_table_next_to_nothing_is_left() {
        for steps in [262_143.0, 262_144.0, 1e6, 1e12] {
            assert!(Ball::shared().at(steps).abs() < 1e-4);
        }
    }
}
