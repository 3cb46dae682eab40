//! The zone of a scanner's clock.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Where a scanner's clock stands: its images state local times, and few their offset. In text: a name of the IANA
/// database, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Its offsets over the years.
    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let zone = TimeZone::get(name).map_err(|_| {
            format!("timezone is {name:?}; write a name of the IANA database, such as Europe/Berlin or UTC")
        })?;
        Ok(Self { name: name.to_owned(), zone })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

is_a_text!(Zone);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_by_their_names() {
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        assert_eq!(zone.to_string(), "Europe/Berlin");
        for name in ["Europe/Nowhere", "", "+99"] {
            assert!(name.parse::<Zone>().unwrap_err().contains("timezone is"), "{name}");
        }
    }
}
