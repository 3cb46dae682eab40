//! Several contrasts in one series: echoes, phase beside magnitude, repetitions. A volume is made of one of
//! them, chosen by a rule that is said, or of none: slices of two contrasts are no image of anything.
//!
//! The rule: magnitude before all else, the lowest b-value, the shortest echo, the first repetition. Inversion times
//! and acquisitions have no such order: a series with several of them is not used.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{
    attribute::{Scope, name},
    image::Frame,
};

/// Echo times and the like that differ by less, in their own units, are the same.
const SAME: f64 = 1e-3;
/// Slices nearer to each other than this are at the same place, in millimetres.
const SAME_MM: f64 = 0.01;

/// What a frame shows beside where it lies; nothing where the file does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contrast {
    image_type: Option<String>,
    numbers: [Option<f64>; NUMBERS.len()],
}

/// How frames that differ in an attribute are told from each other.
struct Number {
    tag: Tag,
    /// Where it is in Enhanced MR, and its name there.
    enhanced: (Tag, Tag),
    /// Frames that differ in it never are one volume, wherever they lie. Others differ from slice to slice in some
    /// scanners' images, and only matter where several frames lie at one place.
    separates: bool,
    /// The lowest value is the one to take.
    lowest: bool,
}

const NUMBERS: [Number; 6] = [
    Number {
        tag: tags::DIFFUSION_B_VALUE,
        enhanced: (tags::MR_DIFFUSION_SEQUENCE, tags::DIFFUSION_B_VALUE),
        separates: true,
        lowest: true,
    },
    Number {
        tag: tags::ECHO_TIME,
        enhanced: (tags::MR_ECHO_SEQUENCE, tags::EFFECTIVE_ECHO_TIME),
        separates: true,
        lowest: true,
    },
    Number {
        tag: tags::ECHO_NUMBERS,
        enhanced: (tags::MR_ECHO_SEQUENCE, tags::ECHO_NUMBERS),
        separates: true,
        lowest: true,
    },
    Number {
        tag: tags::INVERSION_TIME,
        enhanced: (tags::MR_MODIFIER_SEQUENCE, tags::INVERSION_TIMES),
        separates: false,
        lowest: false,
    },
    Number {
        tag: tags::TEMPORAL_POSITION_IDENTIFIER,
        enhanced: (tags::FRAME_CONTENT_SEQUENCE, tags::TEMPORAL_POSITION_INDEX),
        separates: false,
        lowest: true,
    },
    Number {
        tag: tags::ACQUISITION_NUMBER,
        enhanced: (tags::FRAME_CONTENT_SEQUENCE, tags::FRAME_ACQUISITION_NUMBER),
        separates: false,
        lowest: false,
    },
];

impl Contrast {
    pub(super) fn read(scope: &Scope<'_>) -> Self {
        let frame_type = scope.within(tags::MR_IMAGE_FRAME_TYPE_SEQUENCE).text(tags::FRAME_TYPE);
        let number = |number: &Number| {
            let (sequence, tag) = number.enhanced;
            let read = |scope: &Scope<'_>, tag| scope.number(tag).ok().flatten();
            read(&scope.within(sequence), tag).or_else(|| read(scope, number.tag))
        };
        Self {
            image_type: frame_type.or_else(|| scope.text(tags::IMAGE_TYPE)),
            numbers: NUMBERS.each_ref().map(number),
        }
    }

    /// Differs between the contrasts of one acquisition.
    pub(super) fn name(&self) -> String {
        let numbers = NUMBERS.iter().zip(self.numbers).filter(|(number, _)| number.separates);
        let numbers: Vec<_> = numbers.map(|(_, value)| value).collect();
        format!("{:?} {numbers:?}", self.image_type)
    }

    /// The values of its image type.
    fn types(&self) -> impl Iterator<Item = &str> {
        self.image_type.as_deref().unwrap_or_default().split('\\').map(str::trim)
    }

    /// Whether it says that it is a magnitude: as its third value or, with a suffix, as one of the others.
    fn is_magnitude(&self) -> bool {
        self.types().any(|value| value == "M" || value.starts_with("M_") || value == "MAGNITUDE")
    }

    /// Whether it says that it is a phase, or the real or imaginary part.
    fn is_other_component(&self) -> bool {
        let named = ["P", "R", "I", "PHASE", "REAL", "IMAGINARY", "PHASE MAP", "MIXED"];
        self.types().skip(2).any(|value| {
            named.contains(&value) || ["P_", "R_", "I_"].iter().any(|&part| value.starts_with(part))
        })
    }
}

/// The frames of one contrast, what was left out, and why; or why that cannot be told.
pub(super) fn choose(
    mut frames: Vec<Frame>,
    along: impl Fn(&Frame) -> f64,
) -> Result<(Vec<Frame>, Vec<String>), String> {
    let mut notes = Vec::new();
    // From here on all that is split off stays in this order.
    frames.sort_by(|a, b| along(a).total_cmp(&along(b)));
    let mixes = frames.iter().any(|frame| frame.contrast.is_other_component());
    if mixes || shares_places(&frames, &along) {
        let same = |a: &Contrast, b: &Contrast| a.image_type == b.image_type;
        let groups = split(&mut frames, same);
        let magnitude: Vec<_> = (0..groups.len()).filter(|&i| groups[i][0].contrast.is_magnitude()).collect();
        let chosen = if let [one] = magnitude[..] { Some(one) } else { None };
        frames = take(groups, chosen, tags::IMAGE_TYPE, "the magnitude", &along, &mut notes)?;
    }
    for (i, number) in NUMBERS.iter().enumerate() {
        if !number.separates && !shares_places(&frames, &along) {
            continue;
        }
        let same = |a: &Contrast, b: &Contrast| match (a.numbers[i], b.numbers[i]) {
            (Some(a), Some(b)) => (a - b).abs() < SAME,
            (a, b) => a == b,
        };
        let mut groups = split(&mut frames, same);
        // What is not stated comes before all: an image without a b-value has none.
        let value = |group: &[Frame]| group[0].contrast.numbers[i].unwrap_or(f64::MIN);
        groups.sort_by(|a, b| value(a).total_cmp(&value(b)));
        frames = take(groups, number.lowest.then_some(0), number.tag, "the lowest", &along, &mut notes)?;
    }
    let all = frames.len();
    let is_repeat = |next: &mut Frame, kept: &mut Frame| {
        lie_together(kept, next, &along)
            && next.rescale == kept.rescale
            && next.shift == kept.shift
            && next.samples == kept.samples
    };
    frames.dedup_by(is_repeat);
    if frames.len() < all {
        notes.push(format!("{} image(s) came twice, with the same samples", all - frames.len()));
    }
    match frames.windows(2).find(|pair| lie_together(&pair[0], &pair[1], &along)) {
        Some([a, b, ..]) => Err(format!(
            "{} and {} lie at the same place, and no attribute tells them apart; send one stack of slices",
            a.file, b.file
        )),
        _ => Ok((frames, notes)),
    }
}

/// Whether two frames lie at one place, of frames in the order in which they lie.
fn shares_places(frames: &[Frame], along: &impl Fn(&Frame) -> f64) -> bool {
    frames.windows(2).any(|pair| lie_together(&pair[0], &pair[1], along))
}

fn lie_together(a: &Frame, b: &Frame, along: &impl Fn(&Frame) -> f64) -> bool {
    (along(b) - along(a)).abs() < SAME_MM
}

/// Frames that are alike, each kind in the order in which its frames lie.
fn split(frames: &mut Vec<Frame>, same: impl Fn(&Contrast, &Contrast) -> bool) -> Vec<Vec<Frame>> {
    let mut groups: Vec<Vec<Frame>> = Vec::new();
    for frame in frames.drain(..) {
        match groups.iter_mut().find(|group| same(&group[0].contrast, &frame.contrast)) {
            Some(group) => group.push(frame),
            None => groups.push(vec![frame]),
        }
    }
    groups
}

/// The chosen group, when the others are other contrasts of the same stack.
fn take(
    mut groups: Vec<Vec<Frame>>,
    chosen: Option<usize>,
    tag: Tag,
    rule: &str,
    along: &impl Fn(&Frame) -> f64,
    notes: &mut Vec<String>,
) -> Result<Vec<Frame>, String> {
    if groups.len() < 2 {
        return Ok(groups.pop().unwrap_or_default());
    }
    let several = format!("{} contrasts, by {}", groups.len(), name(tag));
    let counts = groups.iter().map(|group| group.len().to_string()).collect::<Vec<_>>().join(", ");
    let Some(chosen) = chosen else {
        return Err(format!("{several} ({counts} images), and no rule says which to use; send one of them"));
    };
    // A stack that goes on in another contrast is no stack.
    let extent = |group: &[Frame]| {
        group.iter().map(along).fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)))
    };
    let (low, high) = extent(&groups[chosen]);
    let step = (high - low) / groups[chosen].len() as f64;
    let is_other = |group: &Vec<Frame>| {
        let (from, to) = extent(group);
        group.len() > groups[chosen].len() || from < low - step || to > high + step
    };
    if groups.iter().any(is_other) {
        return Err(format!(
            "{several} ({counts} images), and {rule} has not all slices; send one whole stack of slices"
        ));
    }
    notes.push(format!("{several}: {rule} was used"));
    Ok(groups.swap_remove(chosen))
}
