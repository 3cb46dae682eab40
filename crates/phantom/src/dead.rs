//! Embryos that died, early or mid-term. All of it is assumption: no images of dead embryos were at hand.
//!
//! Mid-term (days 8 to 12), scanned on day 12:
//! - the body has 0.55 to 1 of a living one's lengths (Romanoff 1960: 1.2 g on day 8, 5 g on day 12, so 0.62
//!   of the lengths on day 8, with some spread) and the same build, gonads of either sex included;
//! - it does not move;
//! - autolysis leaves 0.15 to 0.5 of the contrast between organs, and 0.6 to 1 of that of trunk, head, limbs
//!   and amniotic fluid, which grows turbid; edges stay sharp, ellipsoids have no others;
//! - the heart holds no moving blood and looks like what surrounds it;
//! - the yolk's membrane gives way: the same yolk in 1.3 to 2 times the volume, nearer the middle, with
//!   clots of it in the fluid.
//!
//! So a dead body differs from a living one in what its inside looks like, not in how bright the egg is: an
//! observer who knows all else distinguishes a still heart and organs of half the contrast from living ones
//! beyond doubt at SNR 30 (tested), while a linear probe on intensities alone is right for about 77 of 100 eggs
//! (tested).

use crate::{
    builder::{Builder, RoundYolk},
    class::{Class, Death},
    embryo::{self, State},
    geometry::{rotation, scale},
};

/// Adds a dead embryo of either kind, with its yolk.
pub(crate) fn dead(build: &mut Builder<'_>) -> Death {
    if build.draw.chance(build.profile.mid_term_share) {
        mid_term(build);
        Death::MidTerm
    } else {
        early(build);
        Death::Early
    }
}

/// A small dark body and a mottled yolk.
fn early(build: &mut Builder<'_>) {
    build.round_yolk(&RoundYolk { off_mm: [2.0, 5.0], semi_axes_mm: [15.0, 13.5, 12.5], size_sd: 0.05 });
    let half = build.draw.uniform(1.2, 4.0);
    let x = build.draw.within(6.0);
    let off = build.draw.uniform(6.0, 12.0);
    let turned = rotation(build.draw.within(3.0), build.draw.within(0.5), 0.0);
    build.add(build.along_and_across(x, off), [half * 1.6, half, half], turned, -0.25, false);
    clots(build, 0.2);
}

/// A body that falls to pieces, and yolk that runs into the fluid.
fn mid_term(build: &mut Builder<'_>) {
    let run = build.draw.uniform(1.3, 2.0);
    let signal = build.yolk_signal() / run;
    let (x, off) = (build.draw.uniform(-3.0, 5.0), -build.draw.uniform(6.0, 9.0));
    let turned = rotation(build.draw.within(0.4), build.draw.within(0.2), 0.0);
    let semi_axes = scale([14.0, 9.0, 9.0], run.cbrt());
    build.add(build.along_and_across(x, off), semi_axes, turned, signal, false);
    clots(build, 0.1);
    let class = if build.draw.chance(0.5) { Class::Female } else { Class::Male };
    let state = State {
        size: build.draw.uniform(0.55, 1.0),
        organs: build.draw.uniform(0.15, 0.5),
        body: build.draw.uniform(0.6, 1.0),
        blood: 0.0,
    };
    embryo::embryo(build, class, &state);
}

/// Two to five blobs in the fluid, brighter or darker by about `sd`.
fn clots(build: &mut Builder<'_>, sd: f64) {
    for _ in 0..build.draw.count(2, 5) {
        let at = [0; 3].map(|_| build.draw.normal(6.0));
        let semi_axes = [0; 3].map(|_| build.draw.uniform(1.0, 4.0));
        let turned = rotation(build.draw.within(3.0), build.draw.within(1.0), 0.0);
        let signal = build.draw.normal(sd);
        build.add(build.in_egg(at), semi_axes, turned, signal, false);
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        builder::Builder,
        class::Class,
        embryo::{self, State},
        grid::Grid,
        profile::Profile,
        render::Renderer,
        scanner::TRUNK_SIGNAL,
    };

    /// What an observer who knows all else sees of the difference, in standard deviations at SNR 30.
    fn d_prime(a: &State, b: &State, seed: u64) -> f64 {
        let profile = Profile::nominal();
        let mut renderer = Renderer::new(&Grid::STANDARD);
        let mut image = |state: &State| {
            let mut build = Builder::new(&profile, seed);
            embryo::embryo(&mut build, Class::Male, state);
            renderer.still(build.ellipsoids.iter())
        };
        let (a, b) = (image(a), image(b));
        let energy: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        energy.sqrt() * 30.0 / TRUNK_SIGNAL
    }

    #[test]
    fn a_mid_term_death_of_day_12_shows_inside_the_body_at_snr_30() {
        // The hardest case: full size, sharp outline, organs at the upper end of what autolysis leaves.
        for size in [0.55, 1.0] {
            let alive = State { size, ..State::ALIVE };
            let dead = State { organs: 0.5, blood: 0.0, ..alive };
            for seed in 0..6 {
                let d = d_prime(&alive, &dead, seed);
                // Two groups d' apart share Phi(-d' / 2) of their eggs: 12 are 1e-9.
                assert!(d > 12.0, "size {size}, seed {seed}: d' = {d}");
            }
        }
    }
}
