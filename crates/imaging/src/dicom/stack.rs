//! Slices sorted into a volume. x, y and the direction of sorting are right-handed, so the volume is.

use super::{
    contrast,
    image::{Frame, cross},
};
use crate::{
    error::Error,
    turn::{ImageAxis, nearest},
    volume::{Header, SLICES, Volume},
};

/// Distances of slices may differ by this share, or this length: positions are rounded when they are written.
const UNEVEN: f64 = 0.02;
const UNEVEN_MM: f64 = 0.05;
/// Directions that differ by less are the same.
const TURNED: f64 = 1e-3;

/// What the frames of a series make.
pub(super) struct Stack {
    pub(super) volume: Volume,
    /// Its axes that run along x, y and z of the patient's frame.
    pub(super) axes: [ImageAxis; 3],
    /// What was done to get it, for people.
    pub(super) notes: Vec<String>,
}

/// The volume of a series' frames.
pub(super) fn stack(series: &str, frames: Vec<Frame>) -> Result<Stack, Error> {
    let error = |problem: String| Error::Series { series: series.to_owned(), problem };
    check_alike(&frames).map_err(error)?;
    let Some(first) = frames.first() else { return Err(error("it has no images".to_owned())) };
    let normal = cross(&first.orientation[..3], &first.orientation[3..]);
    let along = |frame: &Frame| (0..3).map(|i| frame.position_mm[i] * normal[i]).sum::<f64>();
    let (frames, mut notes) = contrast::choose(frames, along).map_err(error)?;
    if !SLICES.contains(&frames.len()) {
        let (low, high) = (SLICES.start(), SLICES.end());
        let count = frames.len();
        let advice = format!(
            "it has {count} slice(s), a scan has {low} to {high}; send all images of the series together"
        );
        return Err(error(advice));
    }
    let positions: Vec<f64> = frames.iter().map(along).collect();
    let step = spacing(&positions).map_err(|gap| error(gap.describe(&frames)))?;
    check_straight(&frames, &normal).map_err(error)?;
    let (samples, [slope, intercept]) = join(&frames, &mut notes);
    let first = &frames[0];
    let header = Header {
        slope,
        intercept,
        ..Header::new(
            [first.columns, first.rows, frames.len()],
            [first.spacing_mm[0], first.spacing_mm[1], step],
        )
    };
    let volume = Volume::from_u16(header, &samples).map_err(|e| error(e.to_string()))?;
    let [x, y] = [0, 3].map(|i| [0, 1, 2].map(|j| first.orientation[i + j]));
    Ok(Stack { volume, axes: nearest(&[x, y, normal]), notes })
}

/// All frames must have one size, spacing and orientation.
fn check_alike(frames: &[Frame]) -> Result<(), String> {
    for pair in frames.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        let differ = |what: &str, of_a: String, of_b: String| {
            Err(format!(
                "{what} differs: {of_a} in {}, {of_b} in {}; send one stack of slices",
                a.file, b.file
            ))
        };
        if (a.columns, a.rows) != (b.columns, b.rows) {
            return differ(
                "the size",
                format!("{}x{}", a.columns, a.rows),
                format!("{}x{}", b.columns, b.rows),
            );
        }
        if (0..2).any(|i| (a.spacing_mm[i] / b.spacing_mm[i] - 1.0).abs() > TURNED) {
            return differ("the pixel spacing", format!("{:?}", a.spacing_mm), format!("{:?}", b.spacing_mm));
        }
        if (0..6).any(|i| (a.orientation[i] - b.orientation[i]).abs() > TURNED) {
            return differ("the orientation", format!("{:?}", a.orientation), format!("{:?}", b.orientation));
        }
    }
    Ok(())
}

/// The first distance that is not like the others.
struct Gap {
    index: usize,
    distance: f64,
    usual: f64,
}

impl Gap {
    fn describe(&self, frames: &[Frame]) -> String {
        let (a, b) = (&frames[self.index].file, &frames[self.index + 1].file);
        let missing = (self.distance / self.usual).round() as i64 - 1;
        let what = if missing > 0 {
            format!("about {missing} slice(s) are missing; send the whole series")
        } else {
            "the slices are not evenly spaced; send one stack".to_owned()
        };
        format!(
            "slices {} and {} ({a}, {b}) are {:.2} mm apart, others {:.2} mm: {what}",
            self.index + 1,
            self.index + 2,
            self.distance,
            self.usual
        )
    }
}

/// The distance from slice to slice, where all are alike.
fn spacing(positions: &[f64]) -> Result<f64, Gap> {
    let distances: Vec<f64> = positions.windows(2).map(|p| p[1] - p[0]).collect();
    let mut sorted = distances.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    match distances.iter().position(|d| (d - usual).abs() > UNEVEN_MM.max(UNEVEN * usual)) {
        Some(index) => Err(Gap { index, distance: distances[index], usual }),
        None => Ok((positions[positions.len() - 1] - positions[0]) / distances.len() as f64),
    }
}

/// The slices must lie one above the other, not beside.
fn check_straight(frames: &[Frame], normal: &[f64; 3]) -> Result<(), String> {
    let (first, last) = (&frames[0], &frames[frames.len() - 1]);
    let step = [0, 1, 2].map(|i| last.position_mm[i] - first.position_mm[i]);
    let along: f64 = (0..3).map(|i| step[i] * normal[i]).sum();
    let aside = (0..3).map(|i| (step[i] - along * normal[i]).powi(2)).sum::<f64>().sqrt();
    let limit = first.spacing_mm[0].min(first.spacing_mm[1]);
    if aside > limit {
        return Err(format!(
            "the slices are shifted sideways by {aside:.1} mm in all, more than a pixel; send an upright stack"
        ));
    }
    Ok(())
}

/// One run of samples with one slope and intercept.
fn join(frames: &[Frame], notes: &mut Vec<String>) -> (Vec<u16>, [f64; 2]) {
    let first = &frames[0];
    let all = || frames.iter().flat_map(|f| f.samples.iter().map(move |&v| (f, v)));
    if frames.iter().all(|f| f.rescale == first.rescale && f.shift == first.shift) {
        // Signed samples that are never below 0 need no shift.
        let lowest = frames.iter().flat_map(|f| &f.samples).copied().min().unwrap_or(0);
        let base = i32::from(lowest).min(first.shift);
        let [slope, intercept] = first.rescale;
        let samples = all().map(|(_, v)| (i32::from(v) - base) as u16).collect();
        return (samples, [slope, intercept + f64::from(base - first.shift) * slope]);
    }
    notes.push(
        "slices are rescaled each in its own way: samples were brought to one scale of 16 bits".to_owned(),
    );
    let real = |(f, v): (&Frame, u16)| f64::from(i32::from(v) - f.shift) * f.rescale[0] + f.rescale[1];
    let (low, high) = all().map(real).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let slope = if high > low { (high - low) / f64::from(u16::MAX) } else { 1.0 };
    (all().map(|pair| ((real(pair) - low) / slope).round() as u16).collect(), [slope, low])
}
