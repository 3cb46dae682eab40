//! How an image lies in the anatomy's frame.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One axis of an image: 0 for x (from column to column), 1 for y (from row to row), 2 for z (from slice to slice), and
/// whether it is taken from its end to its start.
pub type ImageAxis = (usize, bool);

const NAMES: [&str; 3] = ["x", "y", "z"];

/// How DICOM images are turned into the frame that models know. In text: `header`, or three axes such as `-x y -z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub enum Axes {
    /// ImageOrientationPatient says it, to the nearest quarter turn.
    #[default]
    Header,
    /// x, y and z of the volume are these axes of the image, whatever its header says.
    Given([ImageAxis; 3]),
}

impl FromStr for Axes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "header" {
            return Ok(Self::Header);
        }
        let axis = |text: &str| {
            let (name, reversed) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
            Some((NAMES.iter().position(|own| *own == name)?, reversed))
        };
        let axes: Option<Vec<_>> = text.split_ascii_whitespace().map(axis).collect();
        let advice = "write header, or x, y and z in any order, such as \"-x y -z\"";
        let given = axes.and_then(|axes| <[ImageAxis; 3]>::try_from(axes).ok());
        let given = given.ok_or_else(|| format!("axes is {text:?}; {advice}"))?;
        let [a, b, c] = given.map(|(axis, _)| axis);
        if a == b || b == c || a == c {
            return Err(format!("axes is {text:?}: it has one axis twice; {advice}"));
        }
        // An even permutation has an even number of reversed axes, an odd one an odd number: the rest mirror.
        let is_odd = (a + 1) % 3 != b;
        let reversed = given.iter().filter(|(_, reversed)| *reversed).count();
        if (reversed % 2 == 1) != is_odd {
            return Err(format!(
                "axes is {text:?}: it mirrors the egg, which exchanges left and right; {advice}"
            ));
        }
        Ok(Self::Given(given))
    }
}

impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Given(axes) = self else { return f.write_str("header") };
        for (i, &(axis, reversed)) in axes.iter().enumerate() {
            let (space, sign) = (if i == 0 { "" } else { " " }, if reversed { "-" } else { "" });
            write!(f, "{space}{sign}{}", NAMES[axis])?;
        }
        Ok(())
    }
}

is_a_text!(Axes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_24_rotations_are_read_and_written_and_no_mirror_image_is() {
        let signs = [false, true];
        let mut rotations = 0;
        for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]] {
            for (a, b, c) in
                signs.iter().flat_map(|&a| signs.map(|b| (a, b))).flat_map(|(a, b)| signs.map(|c| (a, b, c)))
            {
                let axes = Axes::Given([(order[0], a), (order[1], b), (order[2], c)]);
                let determinant = (0..3).map(|i| if [a, b, c][i] { -1 } else { 1 }).product::<i32>()
                    * if (order[0] + 1) % 3 == order[1] { 1 } else { -1 };
                match axes.to_string().parse::<Axes>() {
                    Ok(read) => assert_eq!((read, determinant), (axes, 1)),
                    Err(error) => assert!(determinant == -1 && error.contains("mirrors"), "{error}"),
                }
                rotations += i32::from(determinant == 1);
            }
        }
        assert_eq!(rotations, 24);
        assert_eq!("header".parse(), Ok(Axes::Header));
        for text in ["", "x y", "x y w", "x x y", "x y z z", "HEADER"] {
            assert!(text.parse::<Axes>().unwrap_err().contains("axes is"), "{text}");
        }
    }
}
