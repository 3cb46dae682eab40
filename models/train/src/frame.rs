//! The embryo's frame: a place and three axes, and the samples of a lattice that lies in it.
//!
//! x points towards the head, z towards the belly, and y = z cross x, so that the frame is right-handed whatever the
//! embryo is: a mirrored one lies in it with its organs on the wrong side.

use tch::{Kind, Tensor};

use crate::input::{INPUT, SPACING_MM};

/// Where an embryo lies, for each image of a batch, in 32-bit floats.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Origin: z, y, x in samples of the input, `[N, 3]`.
    pub(crate) centre: Tensor,
    /// Axes as columns: z, y, x of the scan in millimetres against x, y, z of the embryo, `[N, 3, 3]`.
    pub(crate) axes: Tensor,
}

impl Frame {
    /// Right angles out of what a net says: the head's direction counts, the belly's only across it. `[N, 6]`, z, y, x
    /// each.
    pub(crate) fn from_directions(centre: Tensor, directions: &Tensor) -> Self {
        let head = unit(&directions.narrow(1, 0, 3));
        // In the order z, y, x a cross product changes its sign.
        let side = unit(&head.cross(&directions.narrow(1, 3, 3), 1));
        let belly = side.cross(&head, 1);
        Self { centre, axes: Tensor::stack(&[head, side, belly], 2) }
    }

    /// Moved by some millimetres along its own axes, `[N, 3]`, and turned by a small matrix less the identity,
    /// `[N, 9]`. It is not made orthonormal again: what is missing is small, and only samples are taken with it.
    ///
    /// `samples_a_mm` is [`samples_a_mm`]: a tensor made here would become part of no trace.
    pub(crate) fn moved(&self, by_mm: &Tensor, turn: &Tensor, samples_a_mm: &Tensor) -> Self {
        let step = self.axes.matmul(&by_mm.unsqueeze(2)).squeeze_dim(2);
        let axes = self.axes.baddbmm(&self.axes, &turn.reshape([-1, 3, 3]), 1.0, 1.0);
        Self { centre: &self.centre + step * samples_a_mm, axes }
    }

    /// Without gradients in training; otherwise there are none, and nothing is to be traced.
    pub(crate) fn cut(&self, train: bool) -> Self {
        let cut = |tensor: &Tensor| if train { tensor.detach() } else { tensor.shallow_clone() };
        Self { centre: cut(&self.centre), axes: cut(&self.axes) }
    }

    /// This frame where `chosen` (bool `[N]`) is set, `other` elsewhere.
    pub(crate) fn or(&self, chosen: &Tensor, other: &Self) -> Self {
        Self {
            centre: self.centre.where_self(&chosen.reshape([-1, 1]), &other.centre),
            axes: self.axes.where_self(&chosen.reshape([-1, 1, 1]), &other.axes),
        }
    }

    /// Places, `[N, K, 3]` as z, y, x in samples, in millimetres along this frame's axes: `[N, K, 3]` as x, y, z.
    pub(crate) fn inside(&self, places: &Tensor) -> Tensor {
        ((places - self.centre.unsqueeze(1)) / samples_a_mm()).matmul(&self.axes)
    }
}

/// Between which samples a lattice interpolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// Slices; in plane the nearest sample is taken.
    Slices,
    /// All eight around a point.
    All,
}

/// Points at which an embryo is looked at, fixed in its frame.
#[derive(Debug)]
pub(crate) struct Lattice {
    /// Points along the embryo's z, x and y.
    size: [i64; 3],
    /// x, y, z in millimetres, `[3, P]`; x slowest, then y, then z: channels last.
    points: Tensor,
    /// Half a sample more turns rounding down into rounding where nothing is interpolated: z, y, x, `[3]`.
    shift: Tensor,
    /// Flat distance of neighbours along each axis that is interpolated; z first.
    steps: &'static [i64],
    highest: Tensor,
    strides: Tensor,
    /// See [`samples_a_mm`], `[3, 1]`.
    scale: Tensor,
}

impl Lattice {
    /// `size` points along the embryo's z (channels), x and y, `step_mm` apart, around the frame's origin.
    pub(crate) fn new(size: [i64; 3], step_mm: f64, between: Between) -> Self {
        let [depth, rows, columns] = size;
        let at = |i: i64, n: i64| ((i as f64 - (n - 1) as f64 / 2.0) * step_mm) as f32;
        let mut points: [Vec<f32>; 3] = Default::default();
        for x in 0..rows {
            for y in 0..columns {
                for z in 0..depth {
                    points[0].push(at(x, rows));
                    points[1].push(at(y, columns));
                    points[2].push(at(z, depth));
                }
            }
        }
        // The last place that still rounds down to a sample which has a next one, where that is needed.
        let [z, y, x] = INPUT.map(|samples| samples as f32 - 1.001);
        let (in_plane, steps) = match between {
            Between::Slices => (1.0, &STEPS[..1]),
            Between::All => (0.0, &STEPS[..]),
        };
        let half = in_plane / 2.0;
        Self {
            size,
            points: Tensor::from_slice(&points.concat()).reshape([3, -1]),
            shift: Tensor::from_slice(&[0.0_f32, half, half]),
            steps,
            highest: Tensor::from_slice(&[z, y + in_plane, x + in_plane]).reshape([1, 3, 1]),
            strides: Tensor::from_slice(&[(INPUT[1] * INPUT[2]) as f32, INPUT[2] as f32, 1.0])
                .reshape([1, 3]),
            scale: samples_a_mm().unsqueeze(1),
        }
    }

    /// Samples of an input (u8, flattened to `[N, 36864]`) at the lattice's points, interpolated along z only or along all
    /// axes (a sample is 1 mm in plane): 32-bit `[N, depth, rows, columns]`, channels last. Beyond the edge the last sample
    /// repeats. Not in bfloat16: its interpolation rounds differently at the end of a run of samples, so that what a volume
    /// gets would depend on its place in a batch.
    pub(crate) fn look(&self, flat: &Tensor, frame: &Frame) -> Tensor {
        let start = (&frame.centre + &self.shift).unsqueeze(2);
        let axes = &frame.axes * &self.scale;
        // A third of the time of a clamp between tensors.
        let at = (axes.matmul(&self.points) + start).relu_().minimum(&self.highest);
        let whole = at.floor();
        let part = at - &whole;
        let first = self.strides.matmul(&whole).to_kind(Kind::Int64);
        let mut samples = self.corners(flat, &first);
        // Halves the corners along z, then along y, then along x.
        for axis in 0..self.steps.len() {
            let half = 1 << (self.steps.len() - 1 - axis);
            let (low, high) = (samples.narrow(1, 0, half), samples.narrow(1, half, half));
            samples = low.lerp_tensor(&high, &part.narrow(1, axis as i64, 1));
        }
        let [depth, rows, columns] = self.size;
        samples.reshape([-1, rows, columns, depth]).permute([0, 3, 1, 2])
    }
}

impl Lattice {
    /// The samples of the corners around each point, z slowest, of which `first` (`[N, 1, P]`) is the lowest: `[N, 2, P]` or
    /// `[N, 8, P]`. Each corner is looked up in a view of the input that begins later, so that no indices are written.
    fn corners(&self, flat: &Tensor, first: &Tensor) -> Tensor {
        let mut room = INPUT.iter().product::<i64>();
        let mut views = flat.shallow_clone();
        for (axis, &step) in (1..).zip(self.steps) {
            room -= step;
            views = views.unfold(axis, room, step);
        }
        let points = self.points.size()[1];
        let axes = self.steps.len();
        let at = |n: i64, last: i64| [vec![-1], vec![n; axes], vec![last]].concat();
        let index = first.reshape(at(1, points)).expand(at(2, points), false);
        let found = views.gather(1 + axes as i64, &index, false);
        found.to_kind(Kind::Float).reshape([-1, 1 << axes, points])
    }
}

/// Flat distance of neighbours along z, y, x.
const STEPS: [i64; 3] = [INPUT[1] * INPUT[2], INPUT[2], 1];

/// Samples of the input in a millimetre along z, y, x.
pub(crate) fn samples_a_mm() -> Tensor {
    Tensor::from_slice(&SPACING_MM.map(|mm| mm.recip() as f32))
}

fn unit(vectors: &Tensor) -> Tensor {
    vectors / (vectors.norm_scalaropt_dim(2, [1_i64].as_slice(), true) + 1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Samples that grow by 3 with z, 2 with y and 1 with x.
    fn ramp() -> Tensor {
        let [depth, rows, columns] = INPUT;
        let place = |z, y, x| (3 * z + 2 * y + x) as u8;
        let samples: Vec<u8> = (0..depth)
            .flat_map(|z| (0..rows).flat_map(move |y| (0..columns).map(move |x| place(z, y, x))))
            .collect();
        Tensor::from_slice(&samples).reshape([1, -1])
    }

    /// Head towards +y, belly towards +z, so the side (z cross x) is towards -x.
    fn turned() -> Frame {
        let directions = Tensor::from_slice(&[0.0_f32, 2.0, 0.0, 0.5, 0.3, 0.0]).reshape([1, 6]);
        Frame::from_directions(Tensor::from_slice(&[7.5_f32, 20.0, 24.0]).reshape([1, 3]), &directions)
    }

    fn largest(x: &Tensor) -> f64 {
        x.abs().max().double_value(&[])
    }

    #[test]
    fn axes_are_orthonormal_and_right_handed_whatever_the_directions() {
        tch::manual_seed(1);
        let directions = Tensor::randn([100, 6], (Kind::Float, Device::Cpu));
        let axes =
            Frame::from_directions(Tensor::zeros([100, 3], (Kind::Float, Device::Cpu)), &directions).axes;
        let product = axes.transpose(1, 2).matmul(&axes) - Tensor::eye(3, (Kind::Float, Device::Cpu));
        // What keeps a direction of length 0 from dividing by it costs that much.
        assert!(largest(&product) < 0.05, "{}", largest(&product));
        // In the order z, y, x a right-handed frame has the determinant -1.
        assert!(largest(&(axes.det() + 1.0)) < 0.05);
    }

    #[test]
    fn a_turned_lattice_shows_a_linear_image_as_it_is() {
        for (between, allowed) in [(Between::All, 0.03), (Between::Slices, 1.53)] {
            let lattice = Lattice::new([4, 6, 6], 1.0, between);
            let seen = lattice.look(&ramp(), &turned()).squeeze_dim(0);
            // A step along the embryo's z is 1 mm along z: 3 / 2.8; along its x (rows) 2; along its y (columns) -1.
            let steps = |n: i64, each: f64| {
                (Tensor::arange(n, (Kind::Float, Device::Cpu)) - (n - 1) as f64 / 2.0) * each
            };
            let wanted = steps(4, 3.0 / 2.8).reshape([4, 1, 1])
                + steps(6, 2.0).reshape([1, 6, 1])
                + steps(6, -1.0).reshape([1, 1, 6])
                + (3.0 * 7.5 + 2.0 * 20.0 + 24.0);
            assert!(largest(&(seen - wanted)) < allowed, "{between:?}");
        }
    }

    #[test]
    fn a_place_is_found_again_inside_a_frame_that_was_moved_there() {
        let frame = turned();
        let by = Tensor::from_slice(&[1.0_f32, -2.0, 0.5]).reshape([1, 3]);
        let none = Tensor::zeros([1, 9], (Kind::Float, Device::Cpu));
        let moved = frame.moved(&by, &none, &samples_a_mm());
        let found = frame.inside(&moved.centre.unsqueeze(1)).squeeze_dim(1);
        assert!(largest(&(found - by)) < 0.01);
    }
}
