//! What was told against what is stored.

use std::collections::HashMap;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::{DecidedBy, Row};
use serde::Serialize;

use crate::book::Scan;
use crate::stored::Stored;

/// One fault, and what became of the scans under it. The first eight fields are what must hold; the others tell more.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Name of the fault.
    pub name: String,
    /// Processes that were killed, or stopped.
    pub kills: usize,
    /// Scans that an agent has accepted.
    pub accepted: usize,
    /// Of these, in every table.
    pub stored: usize,
    /// Of these, missing in a table.
    pub lost: usize,
    /// Scans with more than one row in a table.
    pub duplicated: usize,
    /// Scans whose rows say something else than was told, or differ, or of which two things were told.
    pub changed: usize,
    /// From a kill to the verdict of a scan that came after it, on the slowest line: the worst of all kills.
    pub recovery_ms: u64,
    /// The median of them.
    pub recovery_median_ms: u64,
    /// Accepted scans of which neither scanner nor sorter was told a verdict.
    pub untold: usize,
    /// Verdicts that an agent gave by itself, because none came in time.
    pub timed_out: usize,
    /// Median and worst time from the scan to its verdict, in milliseconds.
    pub verdict_ms: (u64, u64),
    /// Scans that were refused at least once.
    pub refused: usize,
    /// Most scans that scanners held at once because no agent had taken them.
    pub held: usize,
    /// Most memory of one process, in MiB, and its name.
    pub memory_mib: (u64, String),
}

impl Outcome {
    /// Whether the promise was kept.
    pub fn is_good(&self) -> bool {
        self.accepted > 0 && self.lost == 0 && self.duplicated == 0 && self.changed == 0 && self.untold == 0
    }
}

/// Whether every accepted scan is in every table.
pub fn all_stored(told: &HashMap<String, Scan>, stored: &HashMap<String, Stored>) -> bool {
    told.iter()
        .filter(|(_, scan)| scan.accepted.is_some())
        .all(|(id, _)| stored.get(id).is_some_and(is_whole))
}

fn is_whole(stored: &Stored) -> bool {
    !(stored.by_line.is_empty() || stored.by_egg.is_empty() || stored.by_id.is_empty())
}

/// Compares.
pub fn audit(
    name: &str,
    told: &HashMap<String, Scan>,
    stored: &HashMap<String, Stored>,
    mut recoveries: Vec<Duration>,
) -> Outcome {
    recoveries.sort_unstable();
    let accepted = || told.iter().filter(|(_, scan)| scan.accepted.is_some());
    let lost = accepted().filter(|(id, _)| !stored.get(*id).is_some_and(is_whole)).count();
    let twice = |stored: &&Stored| {
        [stored.by_line.len(), stored.by_egg.len(), stored.by_id.len()].iter().any(|n| *n > 1)
    };
    let mut latency: Vec<Duration> =
        told.values().filter_map(|scan| Some(scan.decided?.saturating_duration_since(scan.sent))).collect();
    latency.sort_unstable();
    let by_timeout = |scan: &&Scan| {
        scan.verdict.as_ref().is_some_and(|verdict| verdict.decided_by() == DecidedBy::Timeout)
    };
    Outcome {
        name: name.to_owned(),
        kills: recoveries.len(),
        accepted: accepted().count(),
        stored: accepted().count() - lost,
        lost,
        duplicated: stored.values().filter(twice).count(),
        changed: stored.iter().filter(|(id, stored)| is_changed(id, told.get(*id), stored)).count(),
        recovery_ms: millis(recoveries.last()),
        recovery_median_ms: millis(recoveries.get(recoveries.len() / 2)),
        untold: accepted().filter(|(_, scan)| scan.verdict.is_none()).count(),
        timed_out: told.values().filter(by_timeout).count(),
        verdict_ms: (millis(latency.get(latency.len() / 2)), millis(latency.last())),
        refused: told.values().filter(|scan| scan.refused.is_some()).count(),
        held: 0,
        memory_mib: (0, String::new()),
    }
}

/// Prints in what.
fn is_changed(id: &str, told: Option<&Scan>, stored: &Stored) -> bool {
    let Some(what) = change(told, stored) else { return false };
    eprintln!("{id}: {what}");
    true
}

fn change(told: Option<&Scan>, stored: &Stored) -> Option<String> {
    let Some(told) = told else { return Some("nobody sent it".into()) };
    // A repeat of a write may be under way between the reads of two tables: it differs in nothing else.
    let rows = stored.by_line.iter().chain(&stored.by_egg).cloned();
    let rows: Vec<_> = rows.map(|row| Row { stored_at: None, ..row }).collect();
    let first = rows.first();
    if told.contradicted {
        return Some("two verdicts were told".into());
    }
    if let Some(row) = rows.iter().find(|row| Some(*row) != first) {
        return Some(format!("its rows differ: {first:?} {row:?}"));
    }
    if let Some(row) = rows.iter().find(|row| told.verdict.is_some() && row.verdict != told.verdict) {
        return Some(format!("told {:?}, stored {:?}", told.verdict, row.verdict));
    }
    let place = first.and_then(|row| row.place.as_ref());
    let elsewhere = |(site, line): &&(String, String)| {
        place.is_some_and(|place| (&place.site, &place.line) != (site, line))
    };
    stored.by_id.iter().find(elsewhere).map(|(site, line)| format!("it is also known at {site}/{line}"))
}

fn millis(duration: Option<&Duration>) -> u64 {
    duration.map_or(0, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ovomesh_api::pb::scan::v1::{Call, Place, Verdict};

    use super::*;

    fn verdict(id: &str, call: Call) -> Verdict {
        Verdict { scan_id: id.into(), call: call.into(), ..Verdict::default() }
    }

    fn told(id: &str, call: Call) -> Scan {
        let now = Instant::now();
        Scan {
            line: 0,
            sent: now,
            accepted: Some(now),
            decided: Some(now),
            verdict: Some(verdict(id, call)),
            contradicted: false,
            refused: None,
        }
    }

    fn stored(id: &str, call: Call) -> Stored {
        let place = Place { site: "s".into(), line: "l".into(), ..Place::default() };
        let row = Row {
            scan_id: id.into(),
            place: Some(place),
            verdict: Some(verdict(id, call)),
            ..Row::default()
        };
        Stored { by_line: vec![row.clone()], by_egg: vec![row], by_id: vec![("s".into(), "l".into())] }
    }

    #[test]
    fn every_way_to_break_the_promise_is_seen() {
        let scans = |id: &str| HashMap::from([(id.to_owned(), told(id, Call::Female))]);
        let look = |rows: Stored| {
            let rows = HashMap::from([("a".to_owned(), rows)]);
            let outcome = audit("fault", &scans("a"), &rows, Vec::new());
            (outcome.lost, outcome.duplicated, outcome.changed, outcome.is_good())
        };
        assert_eq!(look(stored("a", Call::Female)), (0, 0, 0, true));
        assert_eq!(look(stored("a", Call::Male)), (0, 0, 1, false));
        assert_eq!(look(Stored { by_egg: Vec::new(), ..stored("a", Call::Female) }), (1, 0, 0, false));
        assert_eq!(look(Stored { by_id: Vec::new(), ..stored("a", Call::Female) }), (1, 0, 0, false));
        let elsewhere = Stored { by_id: vec![("s".into(), "other".into())], ..stored("a", Call::Female) };
        assert_eq!(look(elsewhere), (0, 0, 1, false));
        let mut twice = stored("a", Call::Female);
        twice.by_line.extend(stored("a", Call::Male).by_line);
        assert_eq!(look(twice), (0, 1, 1, false));
        let none = audit("fault", &scans("a"), &HashMap::new(), Vec::new());
        assert_eq!((none.lost, none.stored, none.is_good()), (1, 0, false));
        let mut contradicted = scans("a");
        contradicted.values_mut().for_each(|scan| scan.contradicted = true);
        let rows = HashMap::from([("a".to_owned(), stored("a", Call::Female))]);
        assert_eq!(audit("fault", &contradicted, &rows, Vec::new()).changed, 1);
    }
}
