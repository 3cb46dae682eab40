//! How images that say nothing of lines and trays become scans that do: which line they are of ([`source`]), and which of
//! their attributes are the egg, the tray run, the slot ([`reading`]). Part of a line's configuration; see `docs/lines.md`.

/// What is one text in the configuration: it is read by its `FromStr` and written by its `Display`.
macro_rules! is_a_text {
    ($of:ty) => {
        impl TryFrom<String> for $of {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$of> for String {
            fn from(of: $of) -> Self {
                of.to_string()
            }
        }
    };
}

mod axes;
mod complete;
pub mod reading;
pub mod source;
mod zone;

pub use axes::{Axes, ImageAxis};
pub use complete::Complete;
pub use reading::{Fields, Reading, Readings, Target};
pub use source::{Origin, Source};
pub use zone::Zone;

/// Most sources, and most readings, of a line.
const MOST: usize = 32;
