//! From a raw volume to the small grid that the model reads. Training and serving use this one function.

use crate::{
    grid::Work,
    mask::{Mask, bright_level},
    motion::Motion,
    plausible::not_an_egg,
    preview::preview,
    quality::Quality,
    resample::Resampler,
    sums::Sums,
    volume::VolumeView,
};

/// Version of the preprocessing: it changes whenever the samples of any volume do.
pub const VERSION: &str = "egg-window/1";
/// Samples of the prepared grid along x, y and z, of 1 x 1 x 2.8 mm.
pub const GRID: [usize; 3] = [48, 48, 16];
/// The value that stands for mean(v^2) / mean(v) of the grid, the mean brightness of where the signal is.
const STANDARD: f32 = 100.0;

/// A prepared volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// 16 slices of 48 x 48 samples, x fastest: 36,864 bytes. Right-handed whatever was sent.
    pub samples: Vec<u8>,
    /// Centre of the grid's first sample in millimetres from the first sample's centre of the volume as sent,
    /// along the axes as sent.
    pub origin_mm: [f32; 3],
    /// Distance of the grid's samples in millimetres along the axes as sent: negative along z when the volume
    /// was left-handed, because the grid then runs the other way.
    pub step_mm: [f32; 3],
    /// How good the image is.
    pub quality: Quality,
    /// The middle slice for people: 48 x 48 pixels of four bits, row by row, the first pixel in the high half
    /// of a byte.
    pub preview: Vec<u8>,
    /// Why this is not an image of an egg, for people. Nothing when it may be one.
    pub not_an_egg: Option<String>,
}

impl Prepared {
    /// A place on the prepared grid (samples along x, y, z) in millimetres from the first sample of the
    /// volume as sent.
    pub fn position_mm(&self, at: [f32; 3]) -> [f32; 3] {
        [0, 1, 2].map(|i| self.origin_mm[i] + self.step_mm[i] * at[i])
    }
}

/// Buffers that are worth keeping from scan to scan: one for each thread.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    work: Work,
    mask: Mask,
    motion: Motion,
    resampler: Resampler,
}

/// Prepares a volume: right-handed, 1 x 1 x 2.8 mm, 48 x 48 x 16 samples around the egg, standard brightness,
/// one byte.
///
/// The coil's field is left in. Tissue of phantoms with a field of the usual strength spreads by 8.0 % because
/// of it; a plane fitted to the logarithms inside the mask leaves 6.0 % of that, a quadratic fitted to the
/// commonest tissue 4.3 % at more than half of this function's cost again. But a model that was trained with
/// random fields gains nothing from it: of 4,000 living phantoms at SNR 30 (15) it gave the right sex of 98.80 %
/// (97.02 %) with the field, and of 98.78 % (97.05 %) without any, which is all that a perfect correction
/// could do; with a field of twice the strength it gave 98.65 % (96.55 %).
pub fn prepare(volume: &VolumeView<'_>, scratch: &mut Scratch) -> Prepared {
    prepare_shifted(volume, scratch, [0; 3])
}

/// The quality figures alone, as [`prepare`] gives them.
pub fn quality(volume: &VolumeView<'_>, scratch: &mut Scratch) -> Quality {
    let Scratch { work, mask, motion, resampler } = scratch;
    work.load(volume, resampler);
    mask.find(work, bright_level(work));
    Quality::of(work, mask, motion)
}

/// As [`prepare`], with the window moved by some samples along x, y and z where there is room: for training.
pub fn prepare_shifted(volume: &VolumeView<'_>, scratch: &mut Scratch, shift: [i32; 3]) -> Prepared {
    let quality = quality(volume, scratch);
    let Scratch { work, mask, .. } = scratch;
    let window =
        [0, 1, 2].map(|axis| window_start(mask.centroid(axis), shift[axis], work.dims[axis], GRID[axis]));
    let samples = standardise(work, window);
    let position = |i: usize| (work.origin_mm[i] + work.step_mm[i] * f64::from(window[i])) as f32;
    Prepared {
        preview: preview(&samples, GRID),
        samples,
        origin_mm: [0, 1, 2].map(position),
        step_mm: work.step_mm.map(|step| step as f32),
        quality,
        not_an_egg: not_an_egg(mask, &quality),
    }
}

/// Where the window starts along an axis: centred on the egg, inside the volume when that is larger, around
/// it when it is smaller. Rounds halves to even, as the program did that found this window to work (torch).
fn window_start(centroid: f32, shift: i32, samples: usize, window: usize) -> i32 {
    let room = samples as i32 - window as i32;
    let start = (centroid + 0.5 - (window / 2) as f32).round_ties_even() as i32 + shift;
    start.clamp(room.min(0), room.max(0))
}

/// Cuts the window out and brings it to standard brightness. Outside of the volume is 0.
fn standardise(work: &Work, window: [i32; 3]) -> Vec<u8> {
    let mut sums = Sums::default();
    for_each_line(work, window, |_, line| sums.add(line));
    let scale = (f64::from(STANDARD) * sums.sum as f64 / sums.squares.max(1.0)) as f32;
    let samples = GRID.iter().product();
    // Not `vec![0; samples]`: allocators have the kernel zero blocks of this size, at a page fault for each 4 KiB.
    let mut out = Vec::with_capacity(samples);
    for_each_line(work, window, |at, line| {
        out.resize(at, 0);
        out.extend(line.iter().map(|&v| to_u8(f32::from(v) * scale)));
    });
    out.resize(samples, 0);
    out
}

/// Calls `each` with every line of the window that lies inside the volume, and where it goes in the grid, in order.
fn for_each_line(work: &Work, window: [i32; 3], mut each: impl FnMut(usize, &[u16])) {
    let [columns, rows, slices] = work.dims;
    let inside = |i: usize, n: usize| {
        let first = (-window[i]).clamp(0, GRID[i] as i32);
        let end = (n as i32 - window[i]).clamp(first, GRID[i] as i32);
        (first as usize, end as usize)
    };
    let ((x0, x1), (y0, y1), (z0, z1)) = (inside(0, columns), inside(1, rows), inside(2, slices));
    let source = |i: usize, at: usize| (at as i32 + window[i]) as usize;
    for z in z0..z1 {
        for y in y0..y1 {
            let line = (source(2, z) * rows + source(1, y)) * columns + source(0, x0);
            each((z * GRID[1] + y) * GRID[0] + x0, &work.samples[line..][..x1 - x0]);
        }
    }
}

/// Rounds halves to even and cuts off at 255. Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
#[inline]
fn to_u8(value: f32) -> u8 {
    const INTEGERS: f32 = 12_582_912.0;
    (value.min(255.0) + INTEGERS).to_bits() as u8
}
