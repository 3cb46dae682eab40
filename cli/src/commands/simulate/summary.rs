//! The report as people read it.

use std::fmt::Write as _;

use ovomesh_api::thousands;

use super::latency::Percentiles;
use super::report::{Calls, Report};
use crate::table::{Column, Field, render};

/// The stages in the order in which a scan meets them, with their names for people.
const STAGES: [(&str, &str); 8] = [
    ("waiting_to_send", "waiting to be sent"),
    ("transport", "transport, both ways"),
    ("gateway", "gateway, all in it"),
    ("preprocess_queued", "  waiting for preprocess"),
    ("preprocess", "  preprocess"),
    ("inference_queued", "  waiting for inference"),
    ("inference", "  inference (batch)"),
    ("committed", "until committed"),
];

/// The whole text.
pub(crate) fn text(r: &Report, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "run {}: {} scans/s ({}) for {} s from {} scanners, {}, SNR {}, {} profile{}\n",
        r.run,
        r.rate,
        r.arrivals,
        r.seconds,
        r.scanners,
        r.size,
        r.snr,
        r.profile,
        if r.interrupted { ", interrupted" } else { "" },
    );
    text += &counts(r);
    text += &accuracy(r);
    let _ = writeln!(text, "\n{}\n\n{}", latencies(r, colour), confusion(r, colour));
    if let Some(cpu) = r.generator_cpu_ms_per_scan {
        let _ = writeln!(text, "\nmaking a scan cost {cpu:.3} ms of CPU");
    }
    for cause in &r.causes {
        let _ = writeln!(text, "note: {cause}");
    }
    text.trim_end().to_owned()
}

fn counts(r: &Report) -> String {
    let n = thousands;
    let mut text = format!(
        "sent       {} = {} verdicts + {} rejected; {} lost, {} answered twice, {} unsent\n",
        n(r.sent),
        n(r.verdicts),
        n(r.rejected),
        n(r.lost),
        n(r.duplicated + r.strays),
        n(r.unsent),
    );
    let _ = write!(text, "committed  {} of {} verdicts", n(r.committed), n(r.verdicts));
    if r.unconfirmed > 0 {
        let _ = write!(text, "; of {} it cannot be known, as their stream broke first", n(r.unconfirmed));
    }
    text.push('\n');
    let Calls { female, male, no_embryo, undecided } = r.calls;
    let [female, male, no_embryo, undecided] = [female, male, no_embryo, undecided].map(n);
    let _ =
        write!(text, "calls      {female} FEMALE, {male} MALE, {no_embryo} NO_EMBRYO, {undecided} UNDECIDED");
    text += &listed(&r.undecided_by_reason);
    text.push('\n');
    if r.rejected > 0 {
        let _ = writeln!(text, "rejected   {}{}", n(r.rejected), listed(&r.rejected_by_code));
    }
    let _ = writeln!(text, "late       {} EXPIRED; {} left more than 10 ms late", n(r.expired), n(r.delayed));
    if r.streams_broken > 0 {
        let (broken, again, resent) = (n(r.streams_broken), n(r.streams_reconnected), n(r.resent));
        let _ = writeln!(text, "streams    {broken} broken, {again} reconnected, {resent} scans sent again");
    }
    text
}

fn listed(counts: &std::collections::BTreeMap<&'static str, u64>) -> String {
    let parts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{} {name}", thousands(*count))).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn accuracy(r: &Report) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let decided = &r.accuracy_decided;
    format!(
        "accuracy   {} ({} to {}) of {} distinct eggs by their first call, UNDECIDED counted as wrong\n           \
         {} ({} to {}) of the {} that were called; {} of all scans\n",
        percent(r.accuracy),
        percent(r.accuracy_low),
        percent(r.accuracy_high),
        thousands(r.distinct_eggs),
        percent(decided.share),
        percent(decided.low),
        percent(decided.high),
        thousands(decided.of),
        percent(r.accuracy_scans),
    )
}

fn latencies(r: &Report, colour: bool) -> String {
    let columns = [
        Column::Text("LATENCY IN MS"),
        Column::Number("p50"),
        Column::Number("p90"),
        Column::Number("p99"),
        Column::Number("p99.9"),
        Column::Number("max"),
    ];
    let row = |name: &str, p: Percentiles| {
        let ms = |value: f64| Field::from(format!("{value:.1}"));
        [name.into(), ms(p.p50_ms), ms(p.p90_ms), ms(p.p99_ms), ms(p.p999_ms), ms(p.max_ms)]
    };
    let whole = Percentiles {
        p50_ms: r.p50_ms,
        p90_ms: r.p90_ms,
        p99_ms: r.p99_ms,
        p999_ms: r.p999_ms,
        max_ms: r.max_ms,
    };
    let stages = STAGES.iter().filter_map(|(key, name)| Some(row(name, *r.stages.get(key)?)));
    render(&columns, std::iter::once(row("intended send to verdict", whole)).chain(stages), colour)
}

fn confusion(r: &Report, colour: bool) -> String {
    let columns = [
        Column::Text("TRUTH"),
        Column::Number("FEMALE"),
        Column::Number("MALE"),
        Column::Number("NO_EMBRYO"),
        Column::Number("UNDECIDED"),
    ];
    let rows = ["female", "male", "infertile", "dead"].into_iter().filter_map(|class| {
        let Calls { female, male, no_embryo, undecided } = *r.confusion.get(class)?;
        let [a, b, c, d] = [female, male, no_embryo, undecided].map(|n| Field::from(thousands(n)));
        Some([class.into(), a, b, c, d])
    });
    render(&columns, rows, colour)
}
