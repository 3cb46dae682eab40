//! When a series has all its images.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a line can wait without an image: from 100 ms to 10 minutes.
const QUIET_MS: std::ops::RangeInclusive<u64> = 100..=600_000;
/// How many images a line can expect: as many as the deepest volume has slices, four times over.
const IMAGES: std::ops::RangeInclusive<usize> = 1..=2_048;

/// When the images of a series are taken to be all there, where they state no count. In text: `count`, `quiet 3s`,
/// `release` or `images 16`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub enum Complete {
    /// After the agent's usual time without an image, or longer when its images come slowly.
    #[default]
    Count,
    /// After this time without an image.
    Quiet(Duration),
    /// When the association that sent images of it is released.
    Release,
    /// With this many images, whatever count they state. A multi-frame image counts as its frames.
    Images(usize),
}

impl Complete {
    /// How many images a series has, where the line knows.
    pub fn images(self) -> Option<usize> {
        if let Self::Images(images) = self { Some(images) } else { None }
    }
}

impl FromStr for Complete {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "complete is {text:?}; write count, release, images N (1 to 2,048), or quiet and a time, such as \"quiet 3s\" (100ms to 600s)"
            )
        };
        let mut words = text.split_ascii_whitespace();
        let complete = match (words.next(), words.next(), words.next()) {
            (Some("count"), None, _) => Some(Self::Count),
            (Some("release"), None, _) => Some(Self::Release),
            (Some("images"), Some(number), None) => {
                number.parse().ok().filter(|images| IMAGES.contains(images)).map(Self::Images)
            }
            (Some("quiet"), Some(time), None) => {
                milliseconds(time).map(|ms| Self::Quiet(Duration::from_millis(ms)))
            }
            _ => None,
        };
        complete.ok_or_else(wrong)
    }
}

fn milliseconds(time: &str) -> Option<u64> {
    let ms = match (time.strip_suffix("ms"), time.strip_suffix('s')) {
        (Some(ms), _) => ms.parse::<u64>().ok()?,
        (None, Some(seconds)) => seconds.parse::<u64>().ok()?.checked_mul(1_000)?,
        (None, None) => return None,
    };
    QUIET_MS.contains(&ms).then_some(ms)
}

impl fmt::Display for Complete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Release => f.write_str("release"),
            Self::Images(images) => write!(f, "images {images}"),
            Self::Quiet(time) => write!(f, "quiet {}ms", time.as_millis()),
        }
    }
}

is_a_text!(Complete);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_can_say_is_read_and_written() {
        let quiet = |ms| Complete::Quiet(Duration::from_millis(ms));
        let table = [
            ("count", Complete::Count),
            ("release", Complete::Release),
            ("images 16", Complete::Images(16)),
            ("quiet 3s", quiet(3_000)),
            ("quiet 250ms", quiet(250)),
        ];
        for (text, complete) in table {
            assert_eq!(text.parse(), Ok(complete));
            assert_eq!(complete.to_string().parse(), Ok(complete));
        }
        for text in [
            "",
            "Count",
            "quiet",
            "quiet 3",
            "quiet 20ms",
            "quiet 601s",
            "images 0",
            "images 9999",
            "count 3",
        ] {
            let error = text.parse::<Complete>().unwrap_err();
            assert!(error.contains("complete is") && error.contains("quiet 3s"), "{error}");
        }
    }
}
