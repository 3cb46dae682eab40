//! The card's pictures.

use ovomesh_plot::{Axis, Chart, Series};

use crate::measure::{Curves, NOMINAL_SNR};
use crate::report::Report;

/// File names beside the card.
pub(crate) const SNR: &str = "accuracy-snr.svg";
pub(crate) const EFFECT: &str = "accuracy-effect.svg";
pub(crate) const ABSTENTION: &str = "abstention.svg";
pub(crate) const RELIABILITY: &str = "reliability.svg";
pub(crate) const SPEED: &str = "speed.svg";

/// All pictures with their names.
pub(crate) fn pictures(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        (SNR, snr(report)),
        (EFFECT, effect(report)),
        (ABSTENTION, abstention(report)),
        (RELIABILITY, reliability(report)),
        (SPEED, speed(report)),
    ]
}

fn snr(report: &Report) -> String {
    let mut series = Vec::new();
    for (colour, eggs) in ["nominal", "hard", "small"].into_iter().enumerate() {
        let cases = || report.measured.cases.iter().filter(|set| set.eggs == eggs);
        let model = cases().map(|set| (set.snr, set.figures.sex_right.value())).collect();
        let limit = cases().filter_map(|set| Some((set.snr, set.limit?))).collect();
        series.push(Series { name: eggs.to_owned(), points: model, dashed: false, colour });
        series.push(Series { name: format!("{eggs}, ideal observer"), points: limit, dashed: true, colour });
    }
    let chart = Chart {
        title: "Sex right, nothing withheld",
        x: Axis { name: "SNR of the trunk", ticks: &[10.0, 15.0, 20.0, 30.0, 45.0], log: true },
        y: Axis { name: "share of living eggs", ticks: &[0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0], log: false },
        series,
    };
    chart.svg()
}

fn effect(report: &Report) -> String {
    let mut effects: Vec<_> = report.measured.effects.iter().collect();
    effects.sort_by(|a, b| a.d_prime.total_cmp(&b.d_prime));
    let model = effects.iter().map(|effect| (effect.d_prime, effect.sex_right.value())).collect();
    let limit = effects.iter().map(|effect| (effect.d_prime, effect.limit)).collect();
    let line = |name: &str, points, dashed| Series { name: name.to_owned(), points, dashed, colour: 0 };
    let chart = Chart {
        title: "Sex right by size and contrast of the gonads, SNR 30, no motion",
        x: Axis {
            name: "distance of the sexes for the ideal observer (d')",
            ticks: &[2.0, 4.0, 6.0, 8.0, 12.0, 16.0],
            log: true,
        },
        y: Axis { name: "share of living eggs", ticks: &[0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0], log: false },
        series: vec![line("model", model, false), line("ideal observer", limit, true)],
    };
    chart.svg()
}

/// Nominal and hard eggs, and the lowest SNR, by name.
fn shown(report: &Report) -> impl Iterator<Item = (String, &Curves)> {
    let wanted = [
        ("nominal", NOMINAL_SNR),
        ("hard", NOMINAL_SNR),
        ("small", NOMINAL_SNR),
        ("nominal", 15.0),
        ("nominal", 10.0),
    ];
    let curves = &report.measured.curves;
    wanted.into_iter().filter_map(move |(eggs, snr)| {
        let found = curves.iter().find(|curve| curve.eggs == eggs && curve.snr == snr)?;
        Some((format!("{eggs}, SNR {snr}"), found))
    })
}

fn abstention(report: &Report) -> String {
    let line = |(colour, (name, curves)): (usize, (String, &Curves))| Series {
        name,
        points: curves.abstention.clone(),
        dashed: false,
        colour,
    };
    let chart = Chart {
        title: "What withholding the least sure eggs buys",
        x: Axis {
            name: "share of living eggs withheld",
            ticks: &[0.0, 0.02, 0.04, 0.06, 0.08, 0.1],
            log: false,
        },
        y: Axis { name: "sex right of the others", ticks: &[0.9, 0.92, 0.94, 0.96, 0.98, 1.0], log: false },
        series: shown(report).enumerate().map(line).collect(),
    };
    chart.svg()
}

fn reliability(report: &Report) -> String {
    let line = |(colour, (name, curves)): (usize, (String, &Curves))| {
        // A handful of eggs would show chance.
        let full = curves.reliability.iter().filter(|(.., eggs)| *eggs >= 30);
        Series { name, points: full.map(|(sure, right, _)| (*sure, *right)).collect(), dashed: false, colour }
    };
    let ticks = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    let mut series: Vec<Series> = shown(report).enumerate().map(line).collect();
    series.push(Series {
        name: "honest".to_owned(),
        points: vec![(0.5, 0.5), (1.0, 1.0)],
        dashed: true,
        colour: 6,
    });
    let chart = Chart {
        title: "How sure it was, and how often it was right",
        x: Axis { name: "probability of the surer sex", ticks: &ticks, log: false },
        y: Axis { name: "share right", ticks: &ticks, log: false },
        series,
    };
    chart.svg()
}

fn speed(report: &Report) -> String {
    let line = |(colour, precision): (usize, &str)| {
        let of_it = report.speed.iter().filter(|speed| speed.precision == precision);
        Series {
            name: precision.to_owned(),
            points: of_it.map(|speed| (speed.batch as f64, speed.us_per_scan / 1000.0)).collect(),
            dashed: false,
            colour,
        }
    };
    let chart = Chart {
        title: "Milliseconds of one core for each scan",
        x: Axis { name: "batch", ticks: &[1.0, 2.0, 4.0, 8.0, 16.0], log: true },
        y: Axis { name: "ms", ticks: &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], log: false },
        series: ["fp32", "bf16"].into_iter().enumerate().map(line).collect(),
    };
    chart.svg()
}
