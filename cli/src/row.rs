//! A stored decision, for people and for programs: the one place that says how a row looks.

use jiff::tz::TimeZone;
use ovomesh_api::json;
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::{EggId, Place, Reason, Row, Verdict};

use crate::colour;
use crate::escape::escaped;
use crate::table::{Column, Field};
use crate::timestamps;

/// A row as an object.
pub(crate) fn json(row: &Row) -> serde_json::Value {
    json::row(row)
}

/// The columns of a row.
pub(crate) const COLUMNS: [Column; 9] = [
    Column::Text("ACQUIRED"),
    Column::Text("EGG"),
    Column::Text("PLACE"),
    Column::Text("CALL"),
    Column::Number("P(FEMALE)"),
    Column::Number("SNR"),
    Column::Number("MS"),
    Column::Text("SCAN"),
    Column::Text("REASON"),
];

/// The cells of a row, times in `zone`.
pub(crate) fn cells(row: &Row, zone: &TimeZone) -> [Field; 9] {
    let Row { meta, verdict, .. } = row;
    [
        timestamps::local(meta.acquired_at, zone.clone()).into(),
        meta.egg_id.as_ref().map_or_else(dash, EggId::to_string).into(),
        place(&meta.place).into(),
        Field::from(verdict.call.name()).coloured(colour::colour_of(&verdict.call)),
        verdict.p_female.map_or_else(dash, |p| format!("{p:.3}")).into(),
        verdict.quality.as_ref().map_or_else(dash, |q| format!("{:.1}", q.snr)).into(),
        verdict.timings.as_ref().map_or_else(dash, |t| milliseconds(t.total_us)).into(),
        meta.scan_id.to_string().into(),
        reason(verdict).into(),
    ]
}

/// A row as one line of a feed, which cannot know how wide its columns will be: usual widths, and two spaces at least.
pub(crate) fn feed_line(row: &Row, zone: &TimeZone, colour: bool) -> String {
    let cells = cells(row, zone);
    let [acquired, egg, place, call, p_female, _, ms, scan, reason] =
        std::array::from_fn::<_, 9, _>(|i| cells[i].text.as_str());
    let call = colour::paint_call(&format!("{call:<9}"), &row.verdict.call, colour);
    let line = format!(
        "{acquired:<23}  {egg:<16}  {place:<16}  {call}  {p_female:>5}  {ms:>7} ms  {scan:<28}  {reason}"
    );
    line.trim_end().to_owned()
}

/// The place of a call in counts by call: female, male, no embryo, undecided.
pub(crate) fn call_index(call: pb::Call) -> usize {
    match call {
        pb::Call::Female => 0,
        pb::Call::Male => 1,
        pb::Call::NoEmbryo => 2,
        pb::Call::Undecided | pb::Call::Unspecified => 3,
    }
}

/// Where an egg was: `site/line`, and the slot of its tray when known.
pub(crate) fn place(place: &Place) -> String {
    let Place { line_id, slot, .. } = place;
    if *slot == 0 { line_id.to_string() } else { format!("{line_id} #{slot}") }
}

/// The reason and its values, on one line.
pub(crate) fn reason(verdict: &Verdict) -> String {
    let detail = escaped(verdict.call.detail());
    match (verdict.call.reason().map_or("", Reason::name), &*detail) {
        (name, "") => name.to_owned(),
        ("", detail) => detail.to_owned(),
        (name, detail) => format!("{name}: {detail}"),
    }
}

/// Microseconds as milliseconds with three figures or so.
pub(crate) fn milliseconds(us: u32) -> String {
    let ms = f64::from(us) / 1000.0;
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.1}") }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use ovomesh_api::pb::scan::v1::DecidedBy;

    use ovomesh_api::Call;

    use super::*;
    use crate::table;

    /// A row as the store returns it.
    pub(crate) fn row(scan: &str, call: Call) -> Row {
        let row = pb::Row {
            scan_id: scan.into(),
            egg_id: "egg-1".into(),
            place: Some(pb::Place { site: "north".into(), line: "1".into(), tray_run: "t".into(), slot: 7 }),
            acquired_at: Some(prost_types::Timestamp { seconds: 1_795_510_800, nanos: 250_000_000 }),
            purpose: pb::Purpose::Test.into(),
            received_at: Some(prost_types::Timestamp { seconds: 1_795_510_801, nanos: 0 }),
            volume_crc32c: 0xab,
            verdict: Some(pb::Verdict {
                scan_id: scan.into(),
                p_female: Some(0.9871),
                quality: Some(pb::Quality { snr: 29.96, ..Default::default() }),
                timings: Some(pb::Timings { total_us: 6_214, ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut row = Row::parse(row).unwrap();
        row.verdict.call = call;
        row
    }

    #[test]
    fn a_table_of_rows_reads_like_this() {
        let poor = Call::Undecided(Reason::PoorImage, "signal to noise 2.10 is below 4.00".into());
        let mut undecided = row("s2", Call::Male);
        undecided.meta.egg_id = None;
        undecided.verdict = Verdict::new(poor, DecidedBy::Mesh);
        let rows = [row("s1", Call::Female), undecided];
        assert_eq!(
            table::render(&COLUMNS, rows.iter().map(|row| cells(row, &TimeZone::UTC)), false, None),
            "\
ACQUIRED                 EGG    PLACE       CALL       P(FEMALE)   SNR    MS  SCAN  REASON
2026-11-24 09:00:00.250  egg-1  north/1 #7  FEMALE         0.987  30.0  6.21  s1
2026-11-24 09:00:00.250  -      north/1 #7  UNDECIDED          -     -     -  s2    POOR_IMAGE: signal to noise 2.10 is below 4.00"
        );
    }

    #[test]
    fn a_feed_is_aligned_without_knowing_what_comes() {
        assert_eq!(
            feed_line(&row("s1", Call::Male), &TimeZone::UTC, false),
            "2026-11-24 09:00:00.250  egg-1             north/1 #7        MALE       0.987     6.21 ms  s1"
        );
    }

    #[test]
    fn a_program_gets_names_and_times_it_can_read() {
        let json = json(&row("s1", Call::NoEmbryo));
        assert_eq!(json["acquired_at"], "2026-11-24T09:00:00.25Z");
        assert_eq!(json["verdict"]["call"], "NO_EMBRYO");
        assert_eq!(json["purpose"], "TEST");
        assert_eq!(json["volume_crc32c"], "000000ab");
        assert_eq!(json["verdict"]["timings"]["total_us"], 6_214);
        assert!(json["stored_at"].is_null());
    }
}
