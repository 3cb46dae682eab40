//! What is configured for each line: one type for the YAML file and, on Kubernetes, the ScannerLine resource.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::intake::source::check_sources;
use crate::intake::{Axes, Complete, Fields, Origin, Reading, Readings, Source, Zone};
use crate::scan::Place;
use crate::texts::OWNER;
use crate::{LineId, Policy};

/// What an agent without any configuration of lines calls its own.
const UNNAMED: (&str, &str) = ("local", "1");

/// Configuration of one line. Every field has a default, so a line needs only what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LineConfig {
    /// Who owns the data of this line.
    pub owner: String,
    /// Time from the first byte of a scan to the sorter's gate in milliseconds, 50 to 60,000. A scan may ask for less,
    /// never for more.
    pub budget_ms: u64,
    /// Scans are stored as UNDECIDED(quarantined) and not computed.
    pub quarantined: bool,
    /// How scores become calls.
    pub policy: Policy,
    /// Images (DICOM, files) that match any of these are of this line. Empty: the line takes what no other does.
    pub sources: Vec<Source>,
    /// What the attributes of an image say. Without: PatientID is the egg, ReceiveCoilName the coil.
    pub read: Vec<Reading>,
    /// How DICOM images are turned into the frame that models know: `header` (ImageOrientationPatient, to the nearest
    /// quarter turn), or the image's axes that are x, y and z, such as `-x y -z`.
    pub axes: Axes,
    /// When a series of images that state no count is whole: `count` (after the agent's usual time without an image),
    /// `quiet 3s`, `release` (of its association), or `images 16`, which also replaces a count that images state.
    pub complete: Complete,
    /// Where the scanner's clock stands, such as `Europe/Berlin`, for images that state a local time without an offset.
    /// Without: where the agent stands.
    pub timezone: Option<Zone>,
}

impl Default for LineConfig {
    fn default() -> Self {
        let (policy, sources, read, axes, complete, timezone) = Default::default();
        let owner = "default".to_owned();
        Self { owner, budget_ms: 2_000, quarantined: false, policy, sources, read, axes, complete, timezone }
    }
}

impl LineConfig {
    /// Time for a scan that asks for `asked`: the line's own time at most.
    pub fn budget(&self, asked: Option<Duration>) -> Duration {
        let own = Duration::from_millis(self.budget_ms);
        asked.map_or(own, |asked| asked.min(own))
    }

    fn check(&self) -> Result<(), String> {
        if !(50..=60_000).contains(&self.budget_ms) {
            return Err(format!("budget_ms is {}; it must be 50 to 60,000", self.budget_ms));
        }
        if self.owner.is_empty() {
            return Err("owner must be 1 to 64 bytes".into());
        }
        OWNER.check(&self.owner).map_err(|error| error.to_string())?;
        check_sources(&self.sources)?;
        self.policy.check()
    }
}

/// One entry of the file.
#[derive(Debug, Deserialize)]
struct Entry {
    site: String,
    line: String,
    #[serde(flatten)]
    config: LineConfigFields,
}

// serde cannot flatten into a type with deny_unknown_fields, so the entry's own fields are taken off first.
type LineConfigFields = serde_norway::Mapping;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    default: LineConfig,
    lines: Vec<Entry>,
}

/// All lines that a server knows, and what holds for any other.
#[derive(Debug, Clone)]
pub struct LineBook {
    default: Arc<LineConfig>,
    default_readings: Readings,
    /// In the order of the file.
    lines: Vec<BookEntry>,
    by_name: HashMap<LineId, usize>,
}

/// One line of a [`LineBook`].
#[derive(Debug, Clone)]
struct BookEntry {
    id: LineId,
    config: Arc<LineConfig>,
    readings: Readings,
}

/// A file of lines that cannot be used; the text names the line and the field.
#[derive(Debug, thiserror::Error)]
#[error("line configuration: {0}")]
pub struct LineBookError(String);

impl Default for LineBook {
    fn default() -> Self {
        let default = Arc::<LineConfig>::default();
        let (lines, by_name) = Default::default();
        Self { default, default_readings: Readings::usual(), lines, by_name }
    }
}

impl LineBook {
    /// Reads the YAML of a `lines.yaml`: `default: {...}` and `lines: [{site, line, ...}]`.
    pub fn from_yaml(yaml: &str) -> Result<Self, LineBookError> {
        let file: File = serde_norway::from_str(yaml).map_err(|e| LineBookError(e.to_string()))?;
        let at = |e: String| LineBookError(format!("default: {e}"));
        file.default.check().map_err(at)?;
        if !file.default.sources.is_empty() {
            return Err(at("sources belong to a line; what no line takes is the default's anyway".into()));
        }
        let default_readings = Readings::new(&file.default.read, false).map_err(at)?;
        let mut book = Self { default: Arc::new(file.default), default_readings, ..Self::default() };
        for Entry { site, line, config } in file.lines {
            let at = |e: &dyn std::fmt::Display| LineBookError(format!("line {site}/{line}: {e}"));
            let config: LineConfig = serde_norway::from_value(config.into()).map_err(|e| at(&e))?;
            let id = LineId::parse(&site, &line).map_err(|e| at(&e))?;
            if book.by_name.contains_key(&id) {
                return Err(at(&"is there twice"));
            }
            book.put(&site, &line, config)?;
        }
        Ok(book)
    }

    /// Puts a line in, in place of one of the same name.
    pub fn put(&mut self, site: &str, line: &str, config: LineConfig) -> Result<(), LineBookError> {
        let at = |e: &dyn std::fmt::Display| LineBookError(format!("line {site}/{line}: {e}"));
        config.check().map_err(|e| at(&e))?;
        let readings = Readings::new(&config.read, true).map_err(|e| at(&e))?;
        let id = LineId::parse(site, line).map_err(|e| at(&e))?;
        let entry = BookEntry { id: id.clone(), config: Arc::new(config), readings };
        match self.by_name.get(&id) {
            Some(&index) => self.lines[index] = entry,
            None => {
                self.by_name.insert(id, self.lines.len());
                self.lines.push(entry);
            }
        }
        Ok(())
    }

    /// The line that images are of, and what they say: the first line of the file with a source that fits; else the
    /// only line without sources; else what `default` reads; when nothing is said of lines at all, `local/1`.
    pub fn identify(&self, origin: &Origin<'_>) -> Result<(Place, Fields), NoLine> {
        let entry = self.entry(|source| source.fits(origin));
        let (line_id, fields) = if let Some(BookEntry { id, readings, .. }) = entry {
            (id.clone(), readings.read(origin))
        } else {
            let mut fields = self.default_readings.read(origin);
            match (fields.site.take(), fields.line.take()) {
                (Some(site), Some(line)) => (LineId { site, line }, fields),
                _ if self.lines.is_empty() && !self.default_readings.tell_the_line() => {
                    let (site, line) = UNNAMED;
                    (LineId::parse(site, line).map_err(|_| NoLine::of(origin))?, fields)
                }
                _ => return Err(NoLine::of(origin)),
            }
        };
        let place = Place { line_id, tray_run: fields.tray_run.clone(), slot: fields.slot };
        Ok((place, fields))
    }

    /// Whether images of a sender can be of any line, whatever they hold.
    pub fn takes(&self, calling_ae: &str, called_ae: &str) -> bool {
        let fits = |own: &Option<String>, theirs| own.as_ref().is_none_or(|own| own == theirs);
        let mut sources = self.lines.iter().flat_map(|entry| &entry.config.sources);
        self.takes_the_rest()
            || sources.any(|s| {
                s.folder.is_none() && fits(&s.calling_ae, calling_ae) && fits(&s.called_ae, called_ae)
            })
    }

    /// The lines that the configuration names; the one that an agent without any calls its own, when it names none.
    pub fn named(&self) -> Vec<LineId> {
        let mut named: Vec<_> = self.by_name.keys().cloned().collect();
        named.sort_unstable();
        if named.is_empty() {
            named.extend(LineId::parse(UNNAMED.0, UNNAMED.1));
        }
        named
    }

    /// AE titles that lines are called by.
    pub fn called_aes(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|source| source.called_ae.as_deref())
    }

    /// Folders that lines name.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|source| source.folder.as_deref())
    }

    /// When a series that is dropped in a folder is whole: as the first line says that names the folder, else the only
    /// line without sources, else `default`.
    pub fn complete_of(&self, folder: &str) -> Complete {
        let entry = self.entry(|source| source.folder.as_deref() == Some(folder));
        entry.map_or(&self.default, |entry| &entry.config).complete
    }

    /// DICOM attributes that are read for any line.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        let readings = self.lines.iter().map(|entry| &entry.readings);
        readings.chain([&self.default_readings]).flat_map(Readings::attributes).chain(["StationName"])
    }

    /// For a server that takes images: that it can identify the line of each.
    pub fn check_sources(&self) -> Result<(), LineBookError> {
        let takers = self.takers();
        if takers.len() < 2 || self.default_readings.tell_the_line() {
            return Ok(());
        }
        let names: Vec<String> = takers.iter().map(|entry| entry.id.to_string()).collect();
        Err(LineBookError(format!(
            "lines {} have no sources, so the line of an image is not known; give all of them but one some `sources`",
            names.join(", ")
        )))
    }

    /// The first line with a source that fits, else the only line without sources.
    fn entry(&self, fits: impl Fn(&Source) -> bool) -> Option<&BookEntry> {
        let found = self.lines.iter().find(|entry| entry.config.sources.iter().any(&fits));
        found.or_else(|| if let [only] = self.takers()[..] { Some(only) } else { None })
    }

    fn takes_the_rest(&self) -> bool {
        self.lines.is_empty() || self.takers().len() == 1 || self.default_readings.tell_the_line()
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.lines.iter().flat_map(|entry| &entry.config.sources)
    }

    /// Lines without sources.
    fn takers(&self) -> Vec<&BookEntry> {
        self.lines.iter().filter(|entry| entry.config.sources.is_empty()).collect()
    }

    /// The configuration of a line.
    pub fn get(&self, line: &LineId) -> Arc<LineConfig> {
        self.by_name.get(line).map_or(&self.default, |&index| &self.lines[index].config).clone()
    }
}

/// Images of which no line is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no line takes images of {0}; add a source to a line, or leave one line without sources")]
pub struct NoLine(String);

impl NoLine {
    fn of(origin: &Origin<'_>) -> Self {
        let station = (origin.attribute)("StationName");
        let named = [
            ("calling AE", origin.calling_ae),
            ("called AE", origin.called_ae),
            ("folder", origin.folder),
            ("station", station.as_deref()),
        ];
        let named = named.iter().filter_map(|(what, value)| Some(format!("{what} {:?}", (*value)?)));
        Self(named.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(site: &str, line: &str) -> LineId {
        LineId::parse(site, line).unwrap()
    }

    #[test]
    fn a_line_states_only_what_differs() {
        let book = LineBook::from_yaml(
            "lines:\n- site: north\n  line: '1'\n  owner: acme\n  quarantined: true\n  policy: {costs: {hatched_male: 10}}\n",
        )
        .unwrap();
        let line = book.get(&id("north", "1"));
        assert_eq!(
            (line.owner.as_str(), line.quarantined, line.policy.costs.female_at()),
            ("acme", true, 0.9)
        );
        assert_eq!((line.budget_ms, line.policy.costs.male_at()), (2_000, Policy::default().costs.male_at()));
        assert_eq!(*book.get(&id("north", "2")), LineConfig::default());
    }

    #[test]
    fn a_wrong_file_names_the_line_and_the_field() {
        let error = |yaml: &str| LineBook::from_yaml(yaml).unwrap_err().to_string();
        let typo = error("lines: [{site: n, line: '1', budgetms: 3}]");
        assert!(typo.contains("n/1") && typo.contains("budgetms"), "{typo}");
        assert!(error("lines: [{site: n, line: '1', budget_ms: 3}]").contains("50 to 60,000"));
        assert!(
            error("default: {policy: {costs: {culled_female: 0.2}}}")
                .contains("policy.costs.culled_female is 0.2")
        );
        assert!(error("lines: [{site: n, line: '1'}, {site: n, line: '1'}]").contains("twice"));
        assert!(error("lines: [{site: 'n n', line: '1'}]").contains("place.site"));
        let typo = error("lines: [{site: n, line: '1', sources: [{ae: A}]}]");
        assert!(typo.contains("n/1") && typo.contains("`ae`") && typo.contains("calling_ae"), "{typo}");
        assert!(error("default: {sources: [{station: s}]}").contains("belong to a line"));
    }

    fn origin<'a>(calling_ae: &'a str, attribute: &'a dyn Fn(&str) -> Option<String>) -> Origin<'a> {
        let called_ae = Some("OVOMESH");
        Origin { calling_ae: Some(calling_ae), called_ae, folder: None, file_name: None, attribute }
    }

    fn found(yaml: &str, calling_ae: &str, station: &str) -> Result<String, NoLine> {
        let attribute = |name: &str| (name == "StationName").then(|| station.to_owned());
        let book = LineBook::from_yaml(yaml).unwrap();
        let (place, _) = book.identify(&origin(calling_ae, &attribute))?;
        Ok(place.line_id.to_string())
    }

    #[test]
    fn one_line_takes_all_and_several_what_fits_their_sources() {
        assert_eq!(found("{}", "A", "s").unwrap(), "local/1");
        assert_eq!(found("lines: [{site: n, line: '7'}]", "A", "s").unwrap(), "n/7");
        let two = "lines: [{site: n, line: '1', sources: [{calling_ae: A, station: s}, {calling_ae: B}]}, {site: n, line: '2'";
        for (sender, station, line) in [("A", "s", "n/1"), ("B", "x", "n/1"), ("A", "x", "n/2")] {
            assert_eq!(found(&format!("{two}}}]"), sender, station).unwrap(), line);
        }
        let closed = format!("{two}, sources: [{{station: t}}]}}]");
        assert_eq!(found(&closed, "A", "t").unwrap(), "n/2");
        let error = found(&closed, "C", "u").unwrap_err().to_string();
        assert!(error.contains("calling AE \"C\"") && error.contains("station \"u\""), "{error}");
        let book = LineBook::from_yaml(&closed).unwrap();
        assert!(book.takes("Z", "OVOMESH"), "its station may fit");
    }

    #[test]
    fn the_default_can_read_the_line_from_the_image() {
        let yaml = r"default: {read: [{from: StationName, pattern: '^(?<site>\w+)-(?<line>\w+)$'}]}";
        assert_eq!(found(yaml, "A", "south-3").unwrap(), "south/3");
        assert!(found(yaml, "A", "elsewhere").is_err(), "it says nothing");
    }

    #[test]
    fn lines_that_cannot_be_told_apart_are_named_where_images_come_in() {
        let book = LineBook::from_yaml("lines: [{site: n, line: '1'}, {site: n, line: '2'}]").unwrap();
        let error = book.check_sources().unwrap_err().to_string();
        assert!(error.contains("n/1, n/2") && error.contains("sources"), "{error}");
        assert!(!book.takes("A", "OVOMESH"));
    }

    #[test]
    fn the_documented_files_are_valid() {
        let page = include_str!("../../../docs/lines.md");
        let files: Vec<&str> =
            page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(files.len(), 2);
        let book = LineBook::from_yaml(files[0]).unwrap();
        assert_eq!(book.get(&id("north", "1")).budget_ms, 1_500);
        assert_eq!(book.folders().collect::<Vec<_>>(), ["/srv/drop/north-1"]);
        assert!(LineBook::from_yaml(files[1]).unwrap().takes("ANY", "ANY"));
    }

    #[test]
    fn a_scan_may_ask_for_less_time_never_for_more() {
        let line = LineConfig::default();
        assert_eq!(line.budget(None), Duration::from_secs(2));
        assert_eq!(line.budget(Some(Duration::from_secs(9))), Duration::from_secs(2));
        assert_eq!(line.budget(Some(Duration::from_millis(300))), Duration::from_millis(300));
    }
}
