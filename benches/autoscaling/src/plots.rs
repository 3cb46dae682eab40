//! Two pictures for each trace: replicas over time, and late scans over time.

use ovomesh_plot::{Axis, Chart, Series};

use crate::run::Picture;
use crate::study::{Compared, Sum};

/// File names and pictures of a trace.
pub fn plots(trace: &Compared) -> Vec<(String, String)> {
    vec![
        (format!("{}-replicas.svg", trace.name), replicas(trace)),
        (format!("{}-late.svg", trace.name), late(trace)),
    ]
}

fn replicas(trace: &Compared) -> String {
    let ready = |picture: &Picture| f64::from(picture.ready);
    draw(trace, &format!("{}: ready replicas", trace.name), "replicas", ready)
}

fn late(trace: &Compared) -> String {
    let late = |picture: &Picture| picture.late as f64;
    draw(trace, &format!("{}: late scans so far", trace.name), "scans", late)
}

fn draw(trace: &Compared, title: &str, name: &str, value: impl Fn(&Picture) -> f64) -> String {
    let line = |colour: usize, name: &str, sum: &Sum| Series {
        name: name.to_owned(),
        points: steps(&sum.pictures, &value),
        dashed: name == "clairvoyant",
        colour,
    };
    let series = vec![
        line(0, "ovomesh", &trace.ovomesh),
        line(1, "KEDA + HPA", &trace.keda),
        line(2, "KEDA tuned", &trace.keda_tuned),
        line(6, "clairvoyant", &trace.clairvoyant),
    ];
    let most = |axis: fn(&(f64, f64)) -> f64| {
        series.iter().flat_map(|series| &series.points).map(axis).fold(1.0, f64::max)
    };
    let (minutes, largest) = (ticks(most(|point| point.0)), ticks(most(|point| point.1)));
    Chart {
        title,
        x: Axis { name: "minutes", ticks: &minutes, log: false },
        y: Axis { name, ticks: &largest, log: false },
        series,
    }
    .svg()
}

/// Minutes and values; of stretches without a change only the ends.
fn steps(pictures: &[Picture], value: &impl Fn(&Picture) -> f64) -> Vec<(f64, f64)> {
    let all: Vec<(f64, f64)> = pictures.iter().map(|picture| (picture.at / 60.0, value(picture))).collect();
    let keep =
        |n: usize| n == 0 || n + 1 == all.len() || all[n].1 != all[n - 1].1 || all[n].1 != all[n + 1].1;
    (0..all.len()).filter(|&n| keep(n)).map(|n| all[n]).collect()
}

/// Round numbers from 0 to at least `most`.
fn ticks(most: f64) -> Vec<f64> {
    let rough = most / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|&step| step >= rough);
    let step = step.unwrap_or(power * 10.0).max(f64::MIN_POSITIVE);
    (0..=(most / step).ceil() as u32).map(|n| f64::from(n) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        assert_eq!(ticks(1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(17.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert!(ticks(12_345.0).last().is_some_and(|&last| last >= 12_345.0));
    }
}
