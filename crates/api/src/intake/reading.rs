//! What the attributes of an image say.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::{MOST, Origin};
use crate::ids::{EggId, Line, Site};
use crate::pb::scan::v1::Purpose;
use crate::scan::MAX_SLOT;
use crate::texts::{self, Text};

/// Longest pattern in bytes, and how large it may become in memory: far above what names need.
const PATTERN_BYTES: usize = 512;
const COMPILED_BYTES: usize = 256 << 10;

/// One attribute that is read, and what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// A DICOM attribute by its keyword (`PatientID`) or as `(gggg,eeee)`; or `file_name`, `calling_ae`, `called_ae`.
    pub from: String,
    /// The field that takes the whole value. Either this or `pattern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<Target>,
    /// A regular expression whose named groups are fields, such as `(?<tray_run>\w+)-(?<slot>\d+)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// A field of a scan that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The egg's name within its site.
    EggId,
    /// The passage of the tray.
    TrayRun,
    /// Position in the tray, from 1.
    Slot,
    /// The customer's batch.
    BatchId,
    /// The receive coil.
    Coil,
    /// `PRODUCTION`, `CALIBRATION` or `TEST`, in any case of letters.
    Purpose,
    /// The hatchery; only in `default`.
    Site,
    /// The line; only in `default`.
    Line,
}

const TARGETS: [(&str, Target); 8] = [
    ("egg_id", Target::EggId),
    ("tray_run", Target::TrayRun),
    ("slot", Target::Slot),
    ("batch_id", Target::BatchId),
    ("coil", Target::Coil),
    ("purpose", Target::Purpose),
    ("site", Target::Site),
    ("line", Target::Line),
];

/// The fields of a scan that were read from its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The hatchery.
    pub site: Option<Site>,
    /// The line.
    pub line: Option<Line>,
    /// The egg.
    pub egg_id: Option<EggId>,
    /// The passage of the tray, empty if unknown.
    pub tray_run: String,
    /// The slot, 1 to 10,000; 0 if unknown.
    pub slot: u32,
    /// The batch, empty if none.
    pub batch_id: String,
    /// The coil, empty if none.
    pub coil: String,
    /// What the scan is for.
    pub purpose: Option<Purpose>,
    /// What could not be used, for people.
    pub notes: Vec<String>,
}

/// Readings of a line or of `default`, checked.
#[derive(Debug, Clone)]
pub struct Readings(Vec<(String, What)>);

#[derive(Debug, Clone)]
enum What {
    Whole(Target),
    Groups(Regex),
}

impl Readings {
    /// Checks readings. `of_a_line`: site and line are known already.
    pub fn new(readings: &[Reading], of_a_line: bool) -> Result<Self, String> {
        if readings.len() > MOST {
            return Err(format!("read has {} entries; at most {MOST} are possible", readings.len()));
        }
        if readings.is_empty() {
            return Ok(Self::usual());
        }
        let one = |(i, r): (usize, &Reading)| r.compile(of_a_line).map_err(|e| format!("read[{i}]: {e}"));
        readings.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// What holds without any: PatientID is the egg, ReceiveCoilName the coil.
    pub fn usual() -> Self {
        let usual = [("PatientID", Target::EggId), ("ReceiveCoilName", Target::Coil)];
        Self(usual.map(|(from, into)| (from.to_owned(), What::Whole(into))).into())
    }

    /// Names of the DICOM attributes that are read.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(from, _)| from.as_str()).filter(|from| !is_own_name(from))
    }

    /// Whether they give both site and line.
    pub fn tell_the_line(&self) -> bool {
        let all: BTreeSet<Target> = self.0.iter().flat_map(|(_, what)| what.targets()).collect();
        all.contains(&Target::Site) && all.contains(&Target::Line)
    }

    /// Reads; of several readings of one field the first that gives something counts.
    pub fn read(&self, origin: &Origin<'_>) -> Fields {
        let mut fields = Fields::default();
        let mut done = BTreeSet::new();
        for (from, what) in &self.0 {
            let value = match from.as_str() {
                "file_name" => origin.file_name.map(str::to_owned),
                "calling_ae" => origin.calling_ae.map(str::to_owned),
                "called_ae" => origin.called_ae.map(str::to_owned),
                attribute => (origin.attribute)(attribute),
            };
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            for (target, part) in what.parts(&value) {
                if done.contains(&target) {
                    continue;
                }
                match fields.set(target, &part) {
                    Ok(()) => {
                        done.insert(target);
                    }
                    Err(why) => fields.notes.push(format!("{from} is {value:?}: {why}")),
                }
            }
        }
        fields
    }
}

impl What {
    fn targets(&self) -> Vec<Target> {
        match self {
            Self::Whole(target) => vec![*target],
            Self::Groups(pattern) => pattern.capture_names().flatten().filter_map(target).collect(),
        }
    }

    fn parts(&self, value: &str) -> Vec<(Target, String)> {
        match self {
            Self::Whole(target) => vec![(*target, value.to_owned())],
            Self::Groups(pattern) => {
                let Some(found) = pattern.captures(value) else { return Vec::new() };
                let part = |name| Some((target(name)?, found.name(name)?.as_str().to_owned()));
                pattern.capture_names().flatten().filter_map(part).collect()
            }
        }
    }
}

impl Reading {
    fn compile(&self, of_a_line: bool) -> Result<(String, What), String> {
        check_from(&self.from)?;
        let what = match (self.into, &self.pattern) {
            (Some(target), None) => What::Whole(target),
            (None, Some(pattern)) => What::Groups(compile(pattern)?),
            _ => return Err("give either `into` or `pattern`".into()),
        };
        let names = what.targets().iter().any(|target| matches!(target, Target::Site | Target::Line));
        if of_a_line && names {
            return Err("site and line are this entry's own; only `default` can read them".into());
        }
        Ok((self.from.clone(), what))
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES {
        return Err(format!("pattern has {} bytes; at most {PATTERN_BYTES} are possible", pattern.len()));
    }
    let compiled = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES).build();
    let compiled = compiled.map_err(|e| format!("pattern {pattern:?} is no regular expression: {e}"))?;
    let possible = || TARGETS.map(|(name, _)| name).join(", ");
    let mut names = compiled.capture_names().flatten().peekable();
    if names.peek().is_none() {
        return Err(format!(
            "pattern {pattern:?} has no named group; (?<NAME>...) with one of {}",
            possible()
        ));
    }
    if let Some(other) = names.find(|name| target(name).is_none()) {
        return Err(format!("pattern {pattern:?} has a group {other:?}; possible are {}", possible()));
    }
    Ok(compiled)
}

fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(own, _)| *own == name).map(|(_, target)| *target)
}

fn is_own_name(from: &str) -> bool {
    matches!(from, "file_name" | "calling_ae" | "called_ae")
}

/// Only the reader of images knows whether it is a keyword.
fn check_from(from: &str) -> Result<(), String> {
    let is_keyword =
        from.starts_with(|c: char| c.is_ascii_uppercase()) && from.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_tag = from.len() == 11
        && from.bytes().enumerate().all(|(i, b)| match i {
            0 => b == b'(',
            5 => b == b',',
            10 => b == b')',
            _ => b.is_ascii_hexdigit(),
        });
    if is_keyword || is_tag || is_own_name(from) {
        return Ok(());
    }
    let possible =
        "a DICOM keyword such as PatientID, a tag such as (0010,0020), file_name, calling_ae or called_ae";
    Err(format!("from is {from:?}; it must be {possible}"))
}

impl Fields {
    fn set(&mut self, target: Target, value: &str) -> Result<(), String> {
        let text = |limit: Text| match limit.check(value) {
            Ok(()) => Ok(value.to_owned()),
            Err(e) => Err(e.to_string()),
        };
        match target {
            Target::EggId => self.egg_id = Some(EggId::parse(value).map_err(|e| e.to_string())?),
            Target::TrayRun => self.tray_run = text(texts::TRAY_RUN)?,
            Target::BatchId => self.batch_id = text(texts::BATCH_ID)?,
            Target::Coil => self.coil = text(texts::COIL)?,
            Target::Site => self.site = Some(Site::parse(value).map_err(|e| e.to_string())?),
            Target::Line => self.line = Some(Line::parse(value).map_err(|e| e.to_string())?),
            Target::Slot => match value.trim().parse() {
                Ok(slot) if (1..=MAX_SLOT).contains(&slot) => self.slot = slot,
                _ => return Err(format!("place.slot is {value:?}; it must be 1 to {MAX_SLOT}")),
            },
            Target::Purpose => {
                self.purpose = Some(match value.to_ascii_uppercase().as_str() {
                    "PRODUCTION" => Purpose::Production,
                    "CALIBRATION" => Purpose::Calibration,
                    "TEST" => Purpose::Test,
                    _ => return Err("purpose must be PRODUCTION, CALIBRATION or TEST".into()),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(readings: &[Reading], attributes: &[(&str, &str)], file_name: Option<&str>) -> Fields {
        let attribute = |name: &str| {
            attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        let origin =
            Origin { calling_ae: None, called_ae: None, folder: None, file_name, attribute: &attribute };
        Readings::new(readings, false).unwrap().read(&origin)
    }

    fn pattern(from: &str, pattern: &str) -> Reading {
        Reading { from: from.into(), pattern: Some(pattern.into()), into: None }
    }

    fn whole(from: &str, into: Target) -> Reading {
        Reading { from: from.into(), into: Some(into), pattern: None }
    }

    #[test]
    fn without_readings_the_patient_is_the_egg() {
        let fields = read(&[], &[("PatientID", "E-17"), ("ReceiveCoilName", "c3")], None);
        assert_eq!(fields.egg_id.unwrap().as_str(), "E-17");
        assert_eq!((fields.coil.as_str(), fields.slot), ("c3", 0));
    }

    #[test]
    fn one_value_can_say_several_things_and_the_first_reading_of_a_field_counts() {
        let readings = [
            pattern("file_name", r"^(?<tray_run>T\d+)-(?<slot>\d+)"),
            pattern("PatientID", r"^(?<slot>\d+)/(?<egg_id>\w+)$"),
            whole("(0019,1010)", Target::BatchId),
            pattern("SeriesDescription", r"(?i)(?<purpose>test|calibration)"),
        ];
        let attributes =
            [("PatientID", "9/egg"), ("(0019,1010)", "b7"), ("SeriesDescription", "daily Calibration")];
        let fields = read(&readings, &attributes, Some("T12-007.dcm"));
        assert_eq!((fields.tray_run.as_str(), fields.slot, fields.batch_id.as_str()), ("T12", 7, "b7"));
        assert_eq!(fields.egg_id.unwrap().as_str(), "egg");
        assert_eq!(fields.purpose, Some(Purpose::Calibration));
        assert!(fields.notes.is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_told() {
        let readings = [whole("PatientID", Target::EggId), whole("StudyID", Target::Slot)];
        let fields = read(&readings, &[("PatientID", "a b"), ("StudyID", "0")], None);
        assert_eq!((fields.egg_id, fields.slot), (None, 0));
        assert!(
            fields.notes[0].contains("a b") && fields.notes[1].contains("1 to 10000"),
            "{:?}",
            fields.notes
        );
    }

    #[test]
    fn a_wrong_reading_names_what_is_wrong() {
        let error = |reading: Reading| Readings::new(&[reading], true).unwrap_err();
        for (reading, words) in [
            (whole("patient", Target::EggId), ["read[0]", "\"patient\"", "PatientID"]),
            (Reading { from: "PatientID".into(), ..Default::default() }, ["either", "into", "pattern"]),
            (pattern("PatientID", "(?<egg>.)"), ["\"egg\"", "egg_id", "group"]),
            (pattern("PatientID", "(.)"), ["no named group", "egg_id", "slot"]),
            (pattern("PatientID", "(?<slot>"), ["no regular expression", "(?<slot>", "read[0]"]),
            (pattern("PatientID", &"x".repeat(600)), ["600", "512", "pattern"]),
            (whole("PatientID", Target::Line), ["site and line", "default", "read[0]"]),
        ] {
            let text = error(reading);
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }
}
