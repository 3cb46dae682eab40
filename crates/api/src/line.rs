//! What is configured for each line: one type for the YAML file and, on Kubernetes, the ScannerLine resource.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Policy;
use crate::scan::Place;

/// Configuration of one line. Every field has a default, so a line needs only what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineConfig {
    /// Who owns the data of this line.
    pub owner: String,
    /// Time from the last byte of a scan to the sorter's gate in milliseconds, 50 to 60,000. A scan may ask for less,
    /// never for more.
    pub budget_ms: u64,
    /// Scans are stored as UNDECIDED(quarantined) and not computed.
    pub quarantined: bool,
    /// How scores become calls.
    pub policy: Policy,
}

impl Default for LineConfig {
    fn default() -> Self {
        Self { owner: "default".into(), budget_ms: 2_000, quarantined: false, policy: Policy::default() }
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
        if self.owner.is_empty() || self.owner.len() > 64 {
            return Err("owner must be 1 to 64 bytes".into());
        }
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
#[derive(Debug, Clone, Default)]
pub struct LineBook {
    default: Arc<LineConfig>,
    lines: HashMap<(String, String), Arc<LineConfig>>,
}

/// A file of lines that cannot be used; the text names the line and the field.
#[derive(Debug, thiserror::Error)]
#[error("line configuration: {0}")]
pub struct LineBookError(String);

impl LineBook {
    /// Reads the YAML of a `lines.yaml`: `default: {...}` and `lines: [{site, line, ...}]`.
    pub fn from_yaml(yaml: &str) -> Result<Self, LineBookError> {
        let file: File = serde_norway::from_str(yaml).map_err(|e| LineBookError(e.to_string()))?;
        file.default.check().map_err(|e| LineBookError(format!("default: {e}")))?;
        let mut lines = HashMap::new();
        for Entry { site, line, config } in file.lines {
            let at = |e: &dyn std::fmt::Display| LineBookError(format!("line {site}/{line}: {e}"));
            let config: LineConfig = serde_norway::from_value(config.into()).map_err(|e| at(&e))?;
            config.check().map_err(|e| at(&e))?;
            if lines.insert((site.clone(), line.clone()), Arc::new(config)).is_some() {
                return Err(at(&"is there twice"));
            }
        }
        Ok(Self { default: Arc::new(file.default), lines })
    }

    /// The configuration of a place's line.
    pub fn get(&self, place: &Place) -> Arc<LineConfig> {
        // Two short strings; looked up once a scan.
        let key = (place.site.to_string(), place.line.to_string());
        self.lines.get(&key).unwrap_or(&self.default).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Line, Site};

    fn place(site: &str, line: &str) -> Place {
        let (site, line) = (Site::parse(site).unwrap(), Line::parse(line).unwrap());
        Place { site, line, tray_run: String::new(), slot: 0 }
    }

    #[test]
    fn a_line_states_only_what_differs() {
        let book = LineBook::from_yaml(
            "lines:\n- site: north\n  line: '1'\n  owner: acme\n  quarantined: true\n  policy: {costs: {hatched_male: 10}}\n",
        )
        .unwrap();
        let line = book.get(&place("north", "1"));
        assert_eq!(
            (line.owner.as_str(), line.quarantined, line.policy.costs.female_at()),
            ("acme", true, 0.9)
        );
        assert_eq!((line.budget_ms, line.policy.costs.male_at()), (2_000, Policy::default().costs.male_at()));
        assert_eq!(*book.get(&place("north", "2")), LineConfig::default());
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
    }

    #[test]
    fn a_scan_may_ask_for_less_time_never_for_more() {
        let line = LineConfig::default();
        assert_eq!(line.budget(None), Duration::from_secs(2));
        assert_eq!(line.budget(Some(Duration::from_secs(9))), Duration::from_secs(2));
        assert_eq!(line.budget(Some(Duration::from_millis(300))), Duration::from_millis(300));
    }
}
