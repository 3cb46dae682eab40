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
    ("gateway", "gateway, in total"),
    ("preprocess_queued", "  waiting for preprocess"),
    ("preprocess", "  preprocess"),
    ("inference_queued", "  waiting for inference"),
    ("inference", "  inference (batch)"),
    ("committed", "until committed"),
];

pub(crate) fn text(r: &Report, colour: bool, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "run {}: {} scans/s ({}) for {} s from {} scanner{}, {}, SNR {}, {} profile{}\n",
        r.run,
        r.rate,
        r.arrivals,
        r.seconds,
        r.scanners,
        if r.scanners == 1 { "" } else { "s" },
        r.size,
        r.snr,
        r.profile,
        if r.interrupted { ", interrupted" } else { "" },
    );
    text += &counts(r);
    text += &accuracy(r);
    let _ = writeln!(text, "\n{}\n\n{}", latencies(r, colour, width), confusion(r, colour, width));
    if let Some(cpu) = r.generator_cpu_ms_per_scan {
        let _ = writeln!(text, "\nmaking one scan took {cpu:.3} ms of CPU");
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
        let _ = write!(text, "; {} unknown, because their stream broke first", n(r.unconfirmed));
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

fn latencies(r: &Report, colour: bool, width: Option<usize>) -> String {
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
    render(&columns, std::iter::once(row("intended send to verdict", whole)).chain(stages), colour, width)
}

fn confusion(r: &Report, colour: bool, width: Option<usize>) -> String {
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
    render(&columns, rows, colour, width)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ovomesh_api::pb::scan::v1::{Call, Rejected, Timings, UndecidedReason, Verdict};

    use super::super::content::tests::content;
    use super::super::generate::Cost;
    use super::super::ledger::Ledger;
    use super::super::live::Live;
    use super::super::plan::{Plan, Send};
    use super::super::report::RunSettings;
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Eggs are female, male, infertile, dead in turn. Six sends: four decided (one wrongly), one expired, one rejected.
    fn ledger() -> Ledger {
        let sends = (0..6u32).map(|n| Send { at: ms(100 * u64::from(n)), scanner: 0, nth: n }).collect();
        let plan = Arc::new(Plan { sends, measured: 0, end: ms(1_000) });
        let content = Arc::new(content());
        let mut ledger = Ledger::new(plan, content.clone());
        let calls = [Call::Female, Call::Female, Call::NoEmbryo, Call::NoEmbryo, Call::Undecided];
        for (n, call) in (0u32..).zip(calls) {
            let due = ms(100 * u64::from(n));
            ledger.sent(n, due + ms(1), ms(1_999));
            let reason =
                if call == Call::Undecided { UndecidedReason::Expired } else { UndecidedReason::Unspecified };
            let timings =
                Timings { total_us: 4_000, preprocess_us: 1_000, inference_us: 2_000, ..Default::default() };
            let verdict = Verdict {
                scan_id: content.scan_id(n),
                call: call.into(),
                reason: reason.into(),
                timings: Some(timings),
                ..Default::default()
            };
            ledger.verdict(&verdict, due + ms(8));
            ledger.committed(&content.scan_id(n), due + ms(16));
        }
        ledger.sent(5, ms(530), Duration::ZERO);
        let (scan_id, message) = (content.scan_id(5), format!("scan {}: no room", content.scan_id(5)));
        ledger.rejected(&Rejected { scan_id, message, ..Default::default() });
        ledger
    }

    #[test]
    fn a_report_reads_like_this() {
        let settings = RunSettings {
            run: "5f0c".into(),
            scanners: 1,
            rate: 10.0,
            seconds: 1.0,
            arrivals: "fixed".into(),
            size: "64x64x16".into(),
            snr: 30.0,
            profile: "nominal".into(),
        };
        let cost = Cost { scans: 6, cpu: Some(Duration::from_micros(600)) };
        let report = Report::new(settings, false, &ledger(), cost);
        assert!(report.is_whole());
        assert_eq!(
            text(&report, false, None),
            "\
run 5f0c: 10 scans/s (fixed) for 1 s from 1 scanner, 64x64x16, SNR 30, nominal profile

sent       6 = 5 verdicts + 1 rejected; 0 lost, 0 answered twice, 0 unsent
committed  5 of 5 verdicts
calls      2 FEMALE, 0 MALE, 2 NO_EMBRYO, 1 UNDECIDED (1 EXPIRED)
rejected   1 (1 UNSPECIFIED)
late       1 EXPIRED; 1 left more than 10 ms late
accuracy   75.0 % (30.1 % to 95.4 %) of 4 distinct eggs by their first call, UNDECIDED counted as wrong
           75.0 % (30.1 % to 95.4 %) of the 4 that were called; 60.0 % of all scans

LATENCY IN MS              p50   p90   p99  p99.9   max
intended send to verdict   8.0   8.0   8.0    8.0   8.0
waiting to be sent         1.0  30.0  30.0   30.0  30.0
transport, both ways       3.0   3.0   3.0    3.0   3.0
gateway, in total          4.0   4.0   4.0    4.0   4.0
  waiting for preprocess   0.0   0.0   0.0    0.0   0.0
  preprocess               1.0   1.0   1.0    1.0   1.0
  waiting for inference    0.0   0.0   0.0    0.0   0.0
  inference (batch)        2.0   2.0   2.0    2.0   2.0
until committed           16.0  16.0  16.0   16.0  16.0

TRUTH      FEMALE  MALE  NO_EMBRYO  UNDECIDED
female          1     0          0          1
male            1     0          0          0
infertile       0     0          1          0
dead            0     0          1          0

making one scan took 0.100 ms of CPU
note: rejected: scan ...: no room"
        );
    }

    #[test]
    fn a_line_of_the_live_view_reads_like_this() {
        let mut live = Live::default();
        let mut ledger = ledger();
        let first = live.line(&mut ledger, ms(1_000), Duration::ZERO);
        assert_eq!(
            first,
            concat!(
                "  time   sent/s  verdicts/s    FEMALE      MALE         -         ?  in flight    p50 ms    p99 ms  committed  errors\n",
                "   1 s        6           5         2         0         2         1          0       8.0       8.0          5       1"
            )
        );
        assert_eq!(
            live.line(&mut ledger, ms(2_000), Duration::ZERO).lines().count(),
            1,
            "the head is printed once"
        );
        assert_eq!(
            Live::new(Some(60)).line(&mut self::ledger(), ms(1_000), Duration::ZERO),
            concat!(
                "  time  verdicts/s  in flight    p50 ms    p99 ms  errors\n",
                "   1 s           5          0       8.0       8.0       1"
            )
        );
    }
}
