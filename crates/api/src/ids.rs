//! Names and keys: short strings of a safe alphabet, checked once.

use std::fmt;
use std::sync::Arc;

use crate::Invalid;
use crate::pb::scanner::v1 as pb;

/// Longest scan or egg id in bytes. DICOM UIDs take 64, a SHA-256 in hex takes 64.
pub const ID_BYTES: usize = 128;
/// Longest site or line name in bytes.
pub const NAME_BYTES: usize = 64;

macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $field:literal, $limit:expr, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and alphabet.
            ///
            /// # Errors
            /// Names the field, its value and the limit.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                $rule($field, text, $limit)?;
                Ok(Self(text.into()))
            }
            /// The text as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_string!(
    /// The source's own key of a scan: 1 to 128 bytes of `A-Z a-z 0-9 . _ : -`.
    ScanId, "scan_id", ID_BYTES, check_id
);
checked_string!(
    /// An egg that its source can name: 1 to 128 bytes of `A-Z a-z 0-9 . _ : -`.
    EggId, "egg_id", ID_BYTES, check_id
);
checked_string!(
    /// A hatchery: 1 to 64 bytes of `A-Z a-z 0-9 . _ -`.
    Site, "place.site", NAME_BYTES, check_name
);
checked_string!(
    /// A line within a site: 1 to 64 bytes of `A-Z a-z 0-9 . _ -`.
    Line, "place.line", NAME_BYTES, check_name
);

/// A line and its site: what rows, permissions and configurations are keyed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId {
    /// The hatchery.
    pub site: Site,
    /// The line within the site.
    pub line: Line,
}

impl LineId {
    /// Checks both names: 1 to 64 bytes each.
    ///
    /// # Errors
    /// Names the one at fault, as a field of a place.
    pub fn parse(site: &str, line: &str) -> Result<Self, Invalid> {
        Ok(Self { site: Site::parse(site)?, line: Line::parse(line)? })
    }

    /// Checks the lines that a Hello names.
    ///
    /// # Errors
    /// Names the first name at fault.
    pub fn parse_all(lines: &[pb::Line]) -> Result<Vec<Self>, Invalid> {
        lines.iter().map(|line| Self::parse(&line.site, &line.line)).collect()
    }
}

impl fmt::Display for LineId {
    /// `SITE/LINE`: neither alphabet has the slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.line)
    }
}

/// What a scan is known by: sites number their scans without asking each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanKey {
    /// The hatchery.
    pub site: Site,
    /// The source's own key of the scan, unique within its site.
    pub scan_id: ScanId,
}

impl ScanKey {
    /// A scan of a site.
    pub fn new(site: &Site, scan_id: &ScanId) -> Self {
        Self { site: site.clone(), scan_id: scan_id.clone() }
    }

    /// Checks both names: 1 to 64 bytes of the site, 1 to 128 of the scan's id.
    pub fn parse(site: &str, scan_id: &str) -> Result<Self, Invalid> {
        Ok(Self { site: Site::parse(site)?, scan_id: ScanId::parse(scan_id)? })
    }

    /// A name for the records of one acceptance of this scan: `SITE/SCAN/TAG`. An id may be used again while records of
    /// its first use are on disk, and the tag distinguishes them.
    pub fn record(&self, tag: u64) -> String {
        format!("{self}/{tag:016x}")
    }

    /// Reads the name of a record, also one without a tag; `None` for any other text.
    pub fn from_record(name: &str) -> Option<Self> {
        let mut parts = name.splitn(3, '/');
        let key = Self::parse(parts.next()?, parts.next()?).ok()?;
        parts.next().is_none_or(|tag| u64::from_str_radix(tag, 16).is_ok()).then_some(key)
    }
}

impl fmt::Display for ScanKey {
    /// `SITE/SCAN`: neither alphabet has the slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.scan_id)
    }
}

pub(crate) fn check_id(field: &'static str, text: &str, longest: usize) -> Result<(), Invalid> {
    check(field, text, longest, "A-Z a-z 0-9 . _ : -", |b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
}

fn check_name(field: &'static str, text: &str, longest: usize) -> Result<(), Invalid> {
    check(field, text, longest, "A-Z a-z 0-9 . _ -", |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn check(
    field: &'static str,
    text: &str,
    longest: usize,
    alphabet: &str,
    allowed: fn(u8) -> bool,
) -> Result<(), Invalid> {
    if (1..=longest).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    let limit = format!("1 to {longest} bytes of {alphabet}");
    let message = match text.len() {
        0 => format!("{field} is missing; it must be {limit}"),
        n if n > longest => format!("{field} has {} bytes; it must be {limit}", crate::thousands(n as u64)),
        _ => format!("{field} holds a character that is not allowed; it must be {limit}"),
    };
    let error = Invalid::field(field, text, limit);
    let code = error.code;
    Err(error.because(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_all_sources_are_taken() {
        let uid = "1.2.826.0.1.3680043.8.498.10000000000000000000000000000000000001";
        let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for id in [uid, sha256, "018f3c2e-7b1a-7cc0-9c3e-4f5a6b7c8d9e", "A:1_b"] {
            assert_eq!(ScanId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn a_key_is_read_from_the_name_of_its_record() {
        let key = ScanKey::parse("north", "7:a").unwrap();
        assert_eq!(
            (key.to_string(), key.record(10)),
            ("north/7:a".into(), "north/7:a/000000000000000a".into())
        );
        for name in [key.to_string(), key.record(0), key.record(u64::MAX)] {
            assert_eq!(ScanKey::from_record(&name), Some(key.clone()), "{name}");
        }
        for other in ["7", "north/", "/7", "north/7/x", "north/7/8/9", "north 1/7"] {
            assert_eq!(ScanKey::from_record(other), None, "{other}");
        }
    }

    #[test]
    fn empty_long_and_odd_ids_are_told_apart() {
        let message = |text: &str| ScanId::parse(text).unwrap_err().message;
        assert!(message("").contains("is missing"));
        assert!(message(&"x".repeat(10_240)).contains("has 10,240 bytes"));
        assert!(message("a b").contains("character that is not allowed"));
        assert!(Site::parse("a:b").is_err(), "a colon may stand in an id, not in a name");
    }
}
