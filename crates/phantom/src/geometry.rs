//! Vectors, rotations and ellipsoids. All lengths in millimetres; all axes right-handed.

/// A point or direction: x, y, z.
pub type Vec3 = [f64; 3];
/// A matrix by rows.
pub type Mat3 = [[f64; 3]; 3];

pub(crate) const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Turns about x by `roll`, then about y by `pitch`, then about z by `yaw` (radians).
pub(crate) fn rotation(yaw: f64, pitch: f64, roll: f64) -> Mat3 {
    let ((sa, ca), (sb, cb), (sc, cc)) = (yaw.sin_cos(), pitch.sin_cos(), roll.sin_cos());
    let z = [[ca, -sa, 0.0], [sa, ca, 0.0], [0.0, 0.0, 1.0]];
    let y = [[cb, 0.0, sb], [0.0, 1.0, 0.0], [-sb, 0.0, cb]];
    let x = [[1.0, 0.0, 0.0], [0.0, cc, -sc], [0.0, sc, cc]];
    product(&product(&z, &y), &x)
}

pub(crate) fn product(a: &Mat3, b: &Mat3) -> Mat3 {
    let mut c = [[0.0; 3]; 3];
    for (row, a) in c.iter_mut().zip(a) {
        for (j, value) in row.iter_mut().enumerate() {
            *value = (0..3).map(|k| a[k] * b[k][j]).sum();
        }
    }
    c
}

pub(crate) fn apply(m: &Mat3, v: Vec3) -> Vec3 {
    [0, 1, 2].map(|i| m[i][0] * v[0] + m[i][1] * v[1] + m[i][2] * v[2])
}

pub(crate) fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(crate) fn scale(v: Vec3, factor: f64) -> Vec3 {
    v.map(|c| c * factor)
}

/// A solid ellipsoid of one signal. Ellipsoids overlap: their signals add up.
#[derive(Clone, Debug, PartialEq)]
pub struct Ellipsoid {
    /// Its centre, in millimetres from the isocentre.
    pub centre_mm: Vec3,
    /// Its semi-axes in millimetres.
    pub semi_axes_mm: Vec3,
    /// Directions of its axes, as columns.
    pub rotation: Mat3,
    /// Signal it adds where it is; below 0 it takes away.
    pub signal: f64,
    /// Whether it belongs to the embryo, which may move during the scan.
    pub moves: bool,
}

impl Ellipsoid {
    /// Its volume in cubic millimetres.
    pub fn volume_mm3(&self) -> f64 {
        4.0 / 3.0 * std::f64::consts::PI * self.semi_axes_mm.iter().product::<f64>()
    }

    /// `A A^T` of the matrix A that makes it from the unit ball: the shape of its spectrum.
    pub(crate) fn shape(&self) -> Mat3 {
        let a = self.rotation.map(|row| [0, 1, 2].map(|i| row[i] * self.semi_axes_mm[i]));
        [0, 1, 2].map(|i| [0, 1, 2].map(|j| (0..3).map(|k| a[i][k] * a[j][k]).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_right_handed() {
        let r = rotation(0.7, -0.4, 2.1);
        let column = |j: usize| [r[0][j], r[1][j], r[2][j]];
        let (x, y, z) = (column(0), column(1), column(2));
        let cross = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
        for i in 0..3 {
            assert!((cross[i] - z[i]).abs() < 1e-12, "{cross:?} is not {z:?}");
        }
    }

    #[test]
    fn the_shape_of_a_turned_ellipsoid_has_its_axes() {
        let turned = Ellipsoid {
            centre_mm: [0.0; 3],
            semi_axes_mm: [3.0, 2.0, 1.0],
            rotation: rotation(1.0, 0.5, -2.0),
            signal: 1.0,
            moves: false,
        };
        let shape = turned.shape();
        let trace: f64 = (0..3).map(|i| shape[i][i]).sum();
        assert!((trace - 14.0).abs() < 1e-9, "squares of the semi-axes add up to 14, not {trace}");
        let along = apply(&shape, apply(&turned.rotation, [1.0, 0.0, 0.0]));
        let expected = scale(apply(&turned.rotation, [1.0, 0.0, 0.0]), 9.0);
        assert!((0..3).all(|i| (along[i] - expected[i]).abs() < 1e-9));
    }
}
