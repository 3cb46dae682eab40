//! The table and the JSON of a study.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::study::{Compared, Sum};

/// What is written to a file.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// Draws of each trace.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// The fastest and the slowest start of a replica in seconds.
    pub start_seconds: [f64; 2],
    /// One for each trace.
    pub traces: &'a [Compared],
}

/// A table for people.
pub fn table(traces: &[Compared]) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["trace", "", "late", "above bound", "ours / its", "pod-hours", "changes/h", "target"]);
    for trace in traces {
        for (n, (name, sum)) in trace.rows().into_iter().enumerate() {
            let ours = n == 0;
            let above = sum.late as i128 - i128::from(trace.clairvoyant.late);
            let share = trace.share_of(sum).filter(|_| !ours && name.starts_with("KEDA"));
            table.add_row([
                if ours { trace.name.to_owned() } else { String::new() },
                name.to_owned(),
                sum.late.to_string(),
                above.to_string(),
                share.map_or(String::new(), |share| format!("{share:.2}")),
                format!("{:.2}", sum.pod_hours),
                format!("{:.1}", sum.changes_per_hour),
                sum.target.map_or(String::new(), |target| format!("{target:.1}")),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

impl Compared {
    /// All autoscalers with names for people, ours first.
    pub fn rows(&self) -> Vec<(&'static str, &Sum)> {
        let mut rows = vec![
            ("ovomesh", &self.ovomesh),
            ("KEDA, equal pod-hours", &self.keda),
            ("KEDA uncached, equal pod-hours", &self.keda_uncached),
            ("KEDA tuned, equal pod-hours", &self.keda_tuned),
            ("KEDA, our headroom", &self.keda_same_target),
            ("fixed pool", &self.fixed),
            ("clairvoyant (the bound)", &self.clairvoyant),
            ("prescient", &self.prescient),
        ];
        if let Some(sum) = &self.ovomesh_scheduled {
            rows.insert(1, ("ovomesh with a schedule", sum));
        }
        rows
    }
}
