//! From ellipsoids to an image: spectrum, motion, inverse Fourier transform, magnitude.

use std::{f64::consts::TAU, sync::Arc};

use rustfft::{Fft, FftPlannerScalar, num_complex::Complex32};

use crate::{
    anatomy::Phantom,
    geometry::{Ellipsoid, add},
    grid::Grid,
    kspace::KSpace,
    motion::Motion,
    scan::{CleanScan, Truth},
    undersampling::Lines,
};

impl Phantom {
    /// Renders the scan without noise. For many scans keep one [`Renderer`]: it saves the plans and the
    /// buffers.
    ///
    /// # Panics
    /// When the grid breaks what its fields document.
    pub fn render(&self, grid: &Grid) -> CleanScan {
        Renderer::new(grid).render(self)
    }

    /// What is true of this egg on a grid.
    pub fn truth(&self, grid: &Grid) -> Truth {
        let origin = grid.isocentre_mm();
        let embryo = self.embryo.as_ref();
        Truth {
            class: self.class,
            death: self.death,
            asymmetry: embryo.map_or(0.0, |e| e.asymmetry),
            motion_mm: self.motion.as_ref().map_or(0.0, |m| m.amplitude_mm),
            egg_mm: add(self.egg_centre_mm, origin),
            egg_ml: self.ellipsoids.first().map_or(0.0, Ellipsoid::volume_mm3) / 1000.0,
            gonads_mm: embryo.map(|e| e.gonads_mm.map(|at| add(at, origin))),
            rotation: embryo.map(|e| e.rotation),
            body_mm: embryo.map(|e| add(e.centre_mm, origin)),
            size: embryo.map(|e| e.size),
        }
    }
}

/// Renders phantoms on one grid: plans and buffers that are worth keeping.
pub struct Renderer {
    grid: Grid,
    kspace: KSpace,
    along: [Arc<dyn Fft<f32>>; 3],
    re: Vec<f32>,
    im: Vec<f32>,
    /// The half spectrum, and later what becomes of it.
    half: Vec<Complex32>,
    spare: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Renderer {
    /// # Panics
    /// When the grid breaks what its fields document.
    pub fn new(grid: &Grid) -> Self {
        grid.check();
        let kspace = KSpace::new(grid);
        // Not the planner that picks AVX: that one rounds as the processor does, and saves only 7 % here.
        let mut planner = FftPlannerScalar::new();
        let along = [grid.columns, grid.rows, grid.slices].map(|n| planner.plan_fft_inverse(n));
        let half = kspace.width() * grid.rows * grid.slices;
        let scratch = along.iter().map(|fft| fft.get_inplace_scratch_len()).max().unwrap_or(0);
        Self {
            grid: *grid,
            kspace,
            along,
            re: vec![0.0; half],
            im: vec![0.0; half],
            half: vec![Complex32::ZERO; half],
            spare: Vec::new(),
            scratch: vec![Complex32::ZERO; scratch],
        }
    }

    /// The grid it renders on.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Renders one scan without noise.
    pub fn render(&mut self, phantom: &Phantom) -> CleanScan {
        let samples = if phantom.motion.is_none() && phantom.lines.is_none() {
            let mut image = self.still(phantom.ellipsoids.iter());
            image.iter_mut().for_each(|v| *v = v.abs());
            image
        } else {
            self.line_by_line(&phantom.ellipsoids, phantom.motion.as_ref(), phantom.lines.as_ref())
        };
        CleanScan { samples, grid: self.grid, truth: phantom.truth(&self.grid) }
    }

    /// The signed image of ellipsoids that keep still.
    pub(crate) fn still<'a>(&mut self, ellipsoids: impl Iterator<Item = &'a Ellipsoid>) -> Vec<f32> {
        self.spectrum(ellipsoids);
        let (width, Grid { columns, rows, slices, .. }) = (self.kspace.width(), self.grid);
        self.spare.resize(self.half.len(), Complex32::ZERO);
        // Each pass transforms along the fastest axis and then makes the next axis the fastest.
        transpose(&self.half, &mut self.spare, slices, rows * width); // z y x -> y x z
        self.along[2].process_with_scratch(&mut self.spare, &mut self.scratch);
        transpose(&self.spare, &mut self.half, rows, width * slices); // y x z -> x z y
        self.along[1].process_with_scratch(&mut self.half, &mut self.scratch);
        transpose(&self.half, &mut self.spare, width, slices * rows); // x z y -> z y x
        let scale = 1.0 / self.grid.len() as f32;
        let mut image = Vec::with_capacity(self.grid.len());
        let mut line = vec![Complex32::ZERO; columns];
        // The image is real, so two lines a and b are transformed at once, as a + i b.
        for pair in self.spare.chunks_exact(2 * width) {
            let (a, b) = pair.split_at(width);
            line[0] = Complex32::new(a[0].re, b[0].re);
            line[width - 1] = Complex32::new(a[width - 1].re, b[width - 1].re);
            for x in 1..width - 1 {
                line[x] = Complex32::new(a[x].re - b[x].im, a[x].im + b[x].re);
                line[columns - x] = Complex32::new(a[x].re + b[x].im, b[x].re - a[x].im);
            }
            self.along[0].process_with_scratch(&mut line, &mut self.scratch);
            image.extend(line.iter().map(|v| v.re * scale));
            image.extend(line.iter().map(|v| v.im * scale));
        }
        image
    }

    /// The magnitude image when lines of k-space differ: what moves is displaced from line to line, and lines
    /// that are not acquired are zero.
    fn line_by_line(
        &mut self,
        ellipsoids: &[Ellipsoid],
        motion: Option<&Motion>,
        lines: Option<&Lines>,
    ) -> Vec<f32> {
        let Grid { columns, rows, slices, .. } = self.grid;
        let moves = |e: &&Ellipsoid| motion.is_some_and(|m| m.whole || e.moves);
        self.spectrum(ellipsoids.iter().filter(|e| !moves(e)));
        let mut all = vec![Complex32::ZERO; self.grid.len()];
        self.unfold(&mut all);
        let mut moved = vec![Complex32::ZERO; self.grid.len()];
        if let Some(motion) = motion {
            self.spectrum(ellipsoids.iter().filter(moves));
            self.unfold(&mut moved);
            self.displace(&mut moved, motion);
            all.iter_mut().zip(&moved).for_each(|(still, moved)| *still += moved);
        }
        if let Some(lines) = lines {
            let acquired = lines.acquired(rows);
            for (line, acquired) in all.chunks_exact_mut(columns).zip(acquired.iter().cycle()) {
                if !acquired {
                    line.fill(Complex32::ZERO);
                }
            }
        }
        self.along[0].process_with_scratch(&mut all, &mut self.scratch); // z y x
        transpose(&all, &mut moved, slices, rows * columns); // y x z
        self.along[2].process_with_scratch(&mut moved, &mut self.scratch);
        transpose(&moved, &mut all, rows, columns * slices); // x z y
        self.along[1].process_with_scratch(&mut all, &mut self.scratch);
        transpose(&all, &mut moved, columns, slices * rows); // z y x
        let scale = 1.0 / self.grid.len() as f32;
        moved.iter().map(|v| (v.re * v.re + v.im * v.im).sqrt() * scale).collect()
    }

    /// Fills the half spectrum.
    fn spectrum<'a>(&mut self, ellipsoids: impl Iterator<Item = &'a Ellipsoid>) {
        self.re.fill(0.0);
        self.im.fill(0.0);
        self.kspace.add(ellipsoids, &mut self.re, &mut self.im);
        self.kspace.finish(&self.re, &self.im, &mut self.half);
    }

    /// The whole spectrum of the real image that the half one stands for.
    fn unfold(&self, full: &mut [Complex32]) {
        let (width, Grid { columns, rows, slices, .. }) = (self.kspace.width(), self.grid);
        for (i, line) in full.chunks_exact_mut(columns).enumerate() {
            let (z, y) = (i / rows, i % rows);
            let here = &self.half[i * width..][..width];
            // The line of the opposite frequencies.
            let mirror = ((slices - z) % slices * rows + (rows - y) % rows) * width;
            let there = &self.half[mirror..][..width];
            line[1..width - 1].copy_from_slice(&here[1..width - 1]);
            for x in 1..width - 1 {
                line[columns - x] = there[x].conj();
            }
            for x in [0, width - 1] {
                line[x] = (here[x] + there[x].conj()) * 0.5;
            }
        }
    }

    /// Gives each line of k-space the phase of where the embryo was when it was acquired.
    fn displace(&self, full: &mut [Complex32], motion: &Motion) {
        let Grid { columns, rows, spacing_mm, .. } = self.grid;
        let frequencies = self.kspace.y_frequencies();
        for (i, line) in full.chunks_exact_mut(columns).enumerate() {
            let y = i % rows;
            // Lines are acquired from the most negative frequency to the most positive one.
            let time = ((y + rows / 2) % rows) as f64 / rows as f64;
            let [dx, dy] = motion.displacement_mm(time);
            let along_y = f64::from(frequencies[y]) * dy;
            for (x, value) in line.iter_mut().enumerate() {
                let x = if x < columns / 2 { x as f64 } else { x as f64 - columns as f64 };
                let (sin, cos) = (-TAU * (along_y + x / (columns as f64 * spacing_mm[0]) * dx)).sin_cos();
                *value *= Complex32::new(cos as f32, sin as f32);
            }
        }
    }
}

/// `from` has `outer` lines of `inner` values; `to` gets `inner` lines of `outer` values.
fn transpose(from: &[Complex32], to: &mut [Complex32], outer: usize, inner: usize) {
    // Blocks of 16 x 16 stay in the cache.
    const BLOCK: usize = 16;
    for o in (0..outer).step_by(BLOCK) {
        for i in (0..inner).step_by(BLOCK) {
            for o in o..(o + BLOCK).min(outer) {
                for i in i..(i + BLOCK).min(inner) {
                    to[i * outer + o] = from[o * inner + i];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{class::Class, draw::Draw, geometry::rotation, profile::Profile};

    fn sphere(centre_mm: [f64; 3], radius: f64) -> Ellipsoid {
        Ellipsoid {
            centre_mm,
            semi_axes_mm: [radius; 3],
            rotation: rotation(0.0, 0.0, 0.0),
            signal: 0.5,
            moves: false,
        }
    }

    #[test]
    fn the_signal_of_an_ellipsoid_adds_up_to_its_volume_wherever_it_lies() {
        let mut renderer = Renderer::new(&Grid::STANDARD);
        // Smaller than a voxel, between voxels, turned: none of it may be lost.
        let shapes = [
            ([0.3, 0.4, 0.9], [2.0, 0.3, 0.3]),
            ([-7.25, 3.5, -4.1], [1.0, 1.0, 0.9]),
            ([5.0, -2.0, 8.0], [11.0, 6.0, 6.0]),
        ];
        for (centre_mm, semi_axes_mm) in shapes {
            let shape =
                Ellipsoid { semi_axes_mm, rotation: rotation(0.4, 0.3, 1.0), ..sphere(centre_mm, 1.0) };
            let image = renderer.still(std::iter::once(&shape));
            let volume =
                image.iter().map(|&v| f64::from(v)).sum::<f64>() * Grid::STANDARD.voxel_mm3() / shape.signal;
            assert!(
                (volume / shape.volume_mm3() - 1.0).abs() < 1e-3,
                "{volume} instead of {} mm3",
                shape.volume_mm3()
            );
        }
    }

    #[test]
    fn an_ellipsoid_is_where_it_was_put() {
        for grid in [Grid::STANDARD, Grid::FINE] {
            let mut renderer = Renderer::new(&grid);
            let centre = [6.3, -9.1, 5.2];
            let image = renderer.still(std::iter::once(&sphere(centre, 4.0)));
            let mut moments = [0.0; 4];
            for (i, &v) in image.iter().enumerate() {
                let (x, y, z) =
                    (i % grid.columns, i / grid.columns % grid.rows, i / grid.columns / grid.rows);
                for (axis, at) in [x, y, z].into_iter().enumerate() {
                    moments[axis] += f64::from(v) * at as f64 * grid.spacing_mm[axis];
                }
                moments[3] += f64::from(v);
            }
            for axis in 0..3 {
                let expected = centre[axis] + grid.isocentre_mm()[axis];
                let got = moments[axis] / moments[3];
                assert!((got - expected).abs() < 0.2, "axis {axis}: {got} instead of {expected} mm");
            }
        }
    }

    #[test]
    fn motion_of_no_size_changes_nothing() {
        let profile = Profile { motion_mm: [0.0, 0.0], ..Profile::nominal() };
        let phantom = Phantom::new(&profile, Class::Male, 5);
        let mut renderer = Renderer::new(&Grid::STANDARD);
        let still = renderer.still(phantom.ellipsoids.iter());
        let motion = Motion::draw(&profile, true, &mut Draw::new(1));
        let moved = renderer.line_by_line(&phantom.ellipsoids, Some(&motion), None);
        for (still, moved) in still.iter().zip(&moved) {
            assert!((still.abs() - moved).abs() < 1e-4, "{still} and {moved}");
        }
    }

    #[test]
    fn motion_leaves_ghosts_beside_the_egg_along_the_phase_direction_only() {
        let profile = Profile { motion_share: 1.0, motion_mm: [1.5, 1.5], ..Profile::nominal() };
        let still = Profile { motion_share: 0.0, ..profile.clone() };
        let mut renderer = Renderer::new(&Grid::STANDARD);
        let (mut above, mut beside) = (0.0, 0.0);
        for seed in 0..8 {
            let moved = renderer.render(&Phantom::new(&profile, Class::Female, seed)).samples;
            let quiet = renderer.render(&Phantom::new(&still, Class::Female, seed)).samples;
            for z in 5..11 {
                for i in 0..64 {
                    for edge in [0, 1, 2, 61, 62, 63] {
                        let change = |x: usize, y: usize| {
                            (moved[(z * 64 + y) * 64 + x] - quiet[(z * 64 + y) * 64 + x]).abs()
                        };
                        above += change(i, edge);
                        beside += change(edge, i);
                    }
                }
            }
        }
        assert!(above > 3.0 * beside, "change above and below the egg {above}, beside it {beside}");
    }

    #[test]
    fn a_fast_scan_smears_along_the_phase_direction_and_keeps_its_brightness() {
        let full = Profile { motion_share: 0.0, ..Profile::nominal() };
        let fast = Profile { acquired_lines: 0.5, ..full.clone() };
        let mut renderer = Renderer::new(&Grid::STANDARD);
        let mut render =
            |profile: &Profile| renderer.render(&Phantom::new(profile, Class::Female, 3)).samples;
        let (full, fast) = (render(&full), render(&fast));
        let (mut above, mut beside) = (0.0, 0.0);
        for (i, (full, fast)) in full.iter().zip(&fast).enumerate() {
            let edge = |at: usize| !(8..56).contains(&at);
            let change = (full - fast).abs();
            above += if edge(i / 64 % 64) { change } else { 0.0 };
            beside += if edge(i % 64) { change } else { 0.0 };
        }
        assert!(above > 3.0 * beside, "change above and below the egg {above}, beside it {beside}");
        let (sum, of_fast) = (full.iter().sum::<f32>(), fast.iter().sum::<f32>());
        assert!((of_fast / sum - 1.0).abs() < 0.15, "{sum} and {of_fast}");
    }
}
