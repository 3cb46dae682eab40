//! A line for each egg, a bar for the whole, and at the end what was not sent.

use std::process::ExitCode;
use std::time::Duration;

use ovomesh_api::pb::scan::v1::DecidedBy;
use ovomesh_api::{Call, Reason, Verdict};
use serde_json::json;

use super::scans::Item;
use crate::escape::escaped;
use crate::terminal::Progress as Bar;
use crate::{Out, colour, row};

/// The output of `send` while it works.
pub(crate) struct Progress<'a> {
    out: &'a mut Out,
    bar: Bar,
    /// Verdicts by call: female, male, no embryo, undecided.
    calls: [u64; 4],
    /// Of the undecided: those that were neither computed nor stored.
    rejected: u64,
    failures: Vec<String>,
    /// Verdicts without a Committed.
    unknown: usize,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(files: usize, out: &'a mut Out) -> Self {
        let bar = Bar::new("files sent", files as u64);
        Self { out, bar, calls: [0; 4], rejected: 0, failures: Vec::new(), unknown: 0 }
    }

    /// This many more files are done.
    pub(crate) fn done(&self, files: usize) {
        self.bar.add(files as u64);
    }

    /// A scan was decided `took` after it was sent.
    pub(crate) fn verdict(&mut self, item: &Item, verdict: &Verdict, took: Duration) -> anyhow::Result<()> {
        self.calls[row::call_index(verdict.call.to_pb())] += 1;
        let Self { out, bar, .. } = self;
        bar.suspend(|| {
            if out.is_json() {
                out.json(&object(item, verdict, took))
            } else {
                lines(out, item, verdict, took)
            }
        })
    }

    /// An image that cannot be computed: UNDECIDED like an egg without a verdict, which is what a sorter makes of it.
    pub(crate) fn rejected(&mut self, item: Option<&Item>, why: &str) -> anyhow::Result<()> {
        let verdict = Verdict::new(Call::Undecided(Reason::Rejected, why.to_owned()), DecidedBy::Unspecified);
        self.rejected += 1;
        match item {
            Some(item) => self.verdict(item, &verdict, Duration::ZERO),
            None => self.verdict(&Item::default(), &verdict, Duration::ZERO),
        }
    }

    /// Something was not sent, or got no verdict.
    pub(crate) fn failed(&mut self, item: Option<&Item>, why: &str) -> anyhow::Result<()> {
        let text = match item {
            Some(item) => format!("{}: {why}", item.files.first().map_or("", String::as_str)),
            None => why.to_owned(),
        };
        self.failures.push(text);
        let Self { out, bar, .. } = self;
        if !out.is_json() {
            return Ok(());
        }
        let (scan, files) = item.map_or((None, &[][..]), |item| (Some(&item.scan), &item.files));
        let (scan_id, egg_id) = (scan.map(|scan| &scan.scan_id), scan.map(|scan| &scan.egg_id));
        bar.suspend(|| {
            out.json(&json!({ "scan_id": scan_id, "egg_id": egg_id, "files": files, "error": why }))
        })
    }

    /// This many verdicts arrived without a Committed from the store.
    pub(crate) fn not_known_to_be_stored(&mut self, verdicts: usize) {
        self.unknown += verdicts;
    }

    /// The last lines, and whether all went well.
    pub(crate) fn end(self) -> anyhow::Result<ExitCode> {
        self.bar.end();
        let Self { out, calls, rejected, failures, unknown, .. } = self;
        let [female, male, no_embryo, undecided] = calls;
        let sum: u64 = calls.iter().sum();
        let eggs = if sum == 1 { "egg" } else { "eggs" };
        out.remark(format!(
            "{sum} {eggs}: {female} FEMALE, {male} MALE, {no_embryo} NO_EMBRYO, {undecided} UNDECIDED ({rejected} rejected and not stored); {} not sent",
            failures.len()
        ))?;
        for failure in &failures {
            out.remark(format!("  {}", escaped(failure)))?;
        }
        if unknown > 0 {
            out.remark(format!(
                "{unknown} verdicts may not be stored: the store did not confirm them; sending the files again does no harm"
            ))?;
        }
        Ok(if failures.is_empty() && rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn lines(out: &mut Out, item: &Item, verdict: &Verdict, took: Duration) -> anyhow::Result<()> {
    let egg = if item.scan.egg_id.is_empty() { "-" } else { &item.scan.egg_id };
    let call = colour::paint_call(&format!("{:<9}", verdict.call.name()), &verdict.call, out.colour);
    let p_female = verdict.p_female.map_or("    -".into(), |p| format!("{p:.3}"));
    let snr = verdict.quality.as_ref().map_or("   -".into(), |q| format!("{:>4.0}", q.snr));
    let ms = took.as_secs_f64() * 1000.0;
    let line = format!(
        "{egg:<16}  {call}  P(female) {p_female}  SNR {snr}  {ms:>6.1} ms  {}  {}",
        item.scan.scan_id,
        row::reason(verdict)
    );
    out.line(line.trim_end())?;
    for note in &item.notes {
        out.line(format!("    note: {}", escaped(note)))?;
    }
    Ok(())
}

fn object(item: &Item, verdict: &Verdict, took: Duration) -> serde_json::Value {
    let mut object = ovomesh_api::json::verdict(verdict);
    object["scan_id"] = json!(item.scan.scan_id);
    object["egg_id"] = json!(item.scan.egg_id);
    object["files"] = json!(item.files);
    object["notes"] = json!(item.notes);
    object["took_ms"] = json!(took.as_secs_f64() * 1000.0);
    object
}
