//! Quarter turns of volumes: an image that was taken in another direction shows the same egg.

use crate::{
    error::Error,
    volume::{Header, Volume},
};

/// One axis of an image: 0 for x (from column to column), 1 for y (from row to row), 2 for z (from slice to slice), and
/// whether it is taken from its end to its start.
pub type ImageAxis = (usize, bool);

/// The axes as they are.
pub(crate) const AS_IT_IS: [ImageAxis; 3] = [(0, false), (1, false), (2, false)];

/// The axes of an image that run along x, y and z of the frame in which `directions` gives its own (unit vectors, at
/// right angles, right-handed), to the nearest quarter turn. Never a mirror image.
pub(crate) fn nearest(directions: &[[f64; 3]; 3]) -> [ImageAxis; 3] {
    let along = |axes: &[ImageAxis; 3]| -> f64 {
        let part = |(i, &(axis, reversed)): (usize, &ImageAxis)| {
            if reversed { -directions[axis][i] } else { directions[axis][i] }
        };
        axes.iter().enumerate().map(part).sum()
    };
    // The first of equal ones: what needs no turn is not turned.
    let best = |best: [ImageAxis; 3], axes: [ImageAxis; 3]| {
        if along(&axes) > along(&best) + 1e-9 { axes } else { best }
    };
    rotations().fold(AS_IT_IS, best)
}

/// The 24 rotations by quarter turns.
fn rotations() -> impl Iterator<Item = [ImageAxis; 3]> {
    let orders = [([0, 1, 2], false), ([1, 2, 0], false), ([2, 0, 1], false)];
    let odd_orders = [([0, 2, 1], true), ([2, 1, 0], true), ([1, 0, 2], true)];
    orders.into_iter().chain(odd_orders).flat_map(|(order, is_odd)| {
        (0..4).map(move |signs| {
            let (a, b) = (signs & 1 == 1, signs & 2 == 2);
            // Even orders reverse an even number of axes, odd ones an odd number.
            [(order[0], a), (order[1], b), (order[2], a ^ b ^ is_odd)]
        })
    })
}

impl Volume {
    /// The same volume with other axes: its x, y and z are these of the image.
    ///
    /// # Errors
    /// It then has too few or too many samples along an axis.
    pub fn turned(&self, axes: [ImageAxis; 3]) -> Result<Self, Error> {
        if axes == AS_IT_IS {
            return Ok(self.clone());
        }
        let old = self.header();
        let [columns, rows, _] = old.dims;
        let strides = [1, columns, columns * rows];
        let header = Header {
            dims: axes.map(|(axis, _)| old.dims[axis]),
            spacing_mm: axes.map(|(axis, _)| old.spacing_mm[axis]),
            ..*old
        };
        let at = |axis: usize, n: usize| {
            let (from, reversed) = axes[axis];
            strides[from] * if reversed { header.dims[axis] - 1 - n } else { n }
        };
        let (samples, _) = self.samples().as_chunks::<2>();
        let mut turned = Vec::with_capacity(2 * header.len());
        for z in 0..header.dims[2] {
            for y in 0..header.dims[1] {
                let line = at(2, z) + at(1, y);
                turned.extend((0..header.dims[0]).flat_map(|x| samples[line + at(0, x)]));
            }
        }
        Self::new(header, turned.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turn_is_undone_by_the_header_that_states_it() {
        let header = Header::new([10, 9, 8], [1.0, 2.0, 3.0]);
        let samples: Vec<u16> = (0..720).collect();
        let volume = Volume::from_u16(header, &samples).unwrap();
        let mut count = 0;
        for axes in rotations() {
            let image = volume.turned(axes).unwrap();
            assert_eq!(image.header().dims, axes.map(|(axis, _)| header.dims[axis]));
            // Axis i of the image runs along axis `axes[i]` of the frame, a little off.
            let mut directions = [[0.0; 3]; 3];
            for (direction, (axis, reversed)) in directions.iter_mut().zip(axes) {
                direction[axis] = if reversed { -0.98 } else { 0.98 };
                direction[(axis + 1) % 3] = 0.19;
            }
            assert_eq!(image.turned(nearest(&directions)).unwrap(), volume, "{axes:?}");
            count += 1;
        }
        assert_eq!(count, 24);
    }

    #[test]
    fn a_turn_by_half_a_quarter_is_left_as_it_is() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let directions = [[half, half, 0.0], [-half, half, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(nearest(&directions), AS_IT_IS);
    }

    #[test]
    fn a_volume_that_is_too_thin_for_its_turn_is_refused() {
        let volume = Volume::from_u16(Header::new([8, 8, 4], [1.0, 1.0, 2.0]), &[0; 256]).unwrap();
        let error = volume.turned([(0, false), (2, true), (1, false)]).unwrap_err().to_string();
        assert!(error.contains("4 rows"), "{error}");
    }
}
