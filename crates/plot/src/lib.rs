//! Line charts as SVG, small enough to be kept beside what they show.

use std::fmt::Write as _;

/// Width and height of a picture, and of what is drawn in it.
const SIZE: [f64; 2] = [640.0, 360.0];
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const PLOT: [f64; 2] = [400.0, 264.0];
/// Dark enough on white, and apart for most who see few colours (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// With more points than this a line has no marks: they would hide it.
const MOST_MARKS: usize = 40;

/// A line, or points, with a name.
#[derive(Debug)]
pub struct Series {
    /// Its label in the legend.
    pub name: String,
    /// x and y in the units of the axes, in the order of x.
    pub points: Vec<(f64, f64)>,
    /// Dashed: a limit or a reference, not a measurement.
    pub dashed: bool,
    /// Index of a colour, modulo 7; lines that belong together share one.
    pub colour: usize,
}

/// A chart with its axes.
#[derive(Debug)]
pub struct Chart<'a> {
    /// Title above the plot.
    pub title: &'a str,
    /// Horizontal axis.
    pub x: Axis<'a>,
    /// Vertical axis.
    pub y: Axis<'a>,
    /// Lines and points.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Debug)]
pub struct Axis<'a> {
    /// Quantity and unit.
    pub name: &'a str,
    /// Where it is labelled; the first and the last are its ends.
    pub ticks: &'a [f64],
    /// Whether equal factors are equally long.
    pub log: bool,
}

impl Axis<'_> {
    /// 0 to 1 from the first tick to the last.
    fn fraction(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.log { value.ln() } else { value };
        let [first, last] =
            [self.ticks.first(), self.ticks.last()].map(|tick| scale(tick.copied().unwrap_or(0.0)));
        ((scale(value) - first) / (last - first)).clamp(0.0, 1.0)
    }
}

impl Chart<'_> {
    /// The text of the picture.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        let mut put = |line: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(svg, "{line}");
        };
        let [width, height] = SIZE;
        put(&format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">"#
        ));
        put(r#"<rect width="100%" height="100%" fill="white"/>"#);
        put(&text(LEFT, 22.0, "start", r#"font-size="14" font-weight="bold""#, self.title));
        for &tick in self.x.ticks {
            let x = LEFT + self.x.fraction(tick) * PLOT[0];
            put(&line(x, TOP, x, TOP + PLOT[1], "#ddd"));
            put(&text(x, TOP + PLOT[1] + 16.0, "middle", "", &number(tick)));
        }
        for &tick in self.y.ticks {
            let y = TOP + (1.0 - self.y.fraction(tick)) * PLOT[1];
            put(&line(LEFT, y, LEFT + PLOT[0], y, "#ddd"));
            put(&text(LEFT - 6.0, y + 4.0, "end", "", &number(tick)));
        }
        put(&text(LEFT + PLOT[0] / 2.0, TOP + PLOT[1] + 36.0, "middle", "", self.x.name));
        let turn = format!(r#"transform="rotate(-90 14 {})""#, TOP + PLOT[1] / 2.0);
        put(&text(14.0, TOP + PLOT[1] / 2.0, "middle", &turn, self.y.name));
        for (row, series) in self.series.iter().enumerate() {
            self.draw(row, series, &mut put);
        }
        put("</svg>");
        svg
    }

    fn draw(&self, row: usize, series: &Series, put: &mut impl FnMut(&str)) {
        let colour = COLOURS[series.colour % COLOURS.len()];
        let dash = if series.dashed { r#" stroke-dasharray="5 4""# } else { "" };
        let points: Vec<[f64; 2]> = series
            .points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|&(x, y)| [LEFT + self.x.fraction(x) * PLOT[0], TOP + (1.0 - self.y.fraction(y)) * PLOT[1]])
            .collect();
        let path: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        put(&format!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>"#,
            path.join(" ")
        ));
        if !series.dashed && points.len() <= MOST_MARKS {
            for [x, y] in points {
                put(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#));
            }
        }
        let (x, y) = (LEFT + PLOT[0] + 12.0, TOP + 10.0 + 18.0 * row as f64);
        put(&format!(
            r#"<line x1="{x}" y1="{y}" x2="{}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>"#,
            x + 22.0
        ));
        put(&text(x + 28.0, y + 4.0, "start", "", &series.name));
    }
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64, colour: &str) -> String {
    format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"/>"#)
}

fn text(x: f64, y: f64, anchor: &str, more: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" {more}>{text}</text>"#)
}

/// As short as it can be written.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_at_both_ends_of_the_axes_lies_in_the_corner_of_the_plot() {
        let axis = |log| Axis { name: "", ticks: &[10.0, 100.0], log };
        let series =
            Series { name: "a < b".to_owned(), points: vec![(100.0, 10.0)], dashed: false, colour: 0 };
        let chart = Chart { title: "t", x: axis(true), y: axis(false), series: vec![series] };
        let svg = chart.svg();
        assert!(
            svg.contains(&format!(r#"<circle cx="{:.1}" cy="{:.1}""#, LEFT + PLOT[0], TOP + PLOT[1])),
            "{svg}"
        );
        assert!(svg.contains("a &lt; b"));
    }

    #[test]
    fn equal_factors_are_equally_long_on_a_logarithmic_axis() {
        let axis = Axis { name: "", ticks: &[10.0, 40.0], log: true };
        assert!((axis.fraction(20.0) - 0.5).abs() < 1e-9);
    }
}
