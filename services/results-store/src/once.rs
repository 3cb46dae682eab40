//! A settled row is written once. Pure: what becomes of rows when others of their scans are stored already.
//!
//! An agent remembers a scan for ten minutes after its row was stored, and answers repeats on its own. A row that arrives later
//! was decided anew: a console sends an old series, somebody drops an old file, a scanner counts from 1 again each day. The
//! first row stands. One that says the same of the same image is acknowledged and not written; any other is refused.

use std::collections::HashMap;

use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::RejectCode;
use ovomesh_api::{Image, Invalid, Row, ScanKey};

use crate::record::Record;

/// What became of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is durable in every table.
    Written,
    /// What is stored since then says the same of the same scan, and stands.
    Stands(Option<Timestamp>),
    /// It can never be stored: what is stored differs, and stands.
    Refused(Invalid),
}

/// What is to be done about a batch.
pub struct Plan {
    /// One for each record, once all writes are done.
    pub outcomes: Vec<Outcome>,
    /// One for each scan at most.
    pub writes: Vec<Write>,
}

/// A record to be written.
pub struct Write {
    pub record: Record,
    /// It takes the place of a row that differs, of which nothing may stay: neither its keys nor its picture.
    pub replaces: bool,
}

/// Plans a batch, when this is stored of its scans.
pub fn plan(records: Vec<Record>, stored: &HashMap<ScanKey, Row>) -> Plan {
    let mut writes = HashMap::<ScanKey, Write>::with_capacity(records.len());
    let one = |mut record: Record| {
        let key = record.key();
        let before = writes.get(&key).map(|write| &*write.record.row).or_else(|| stored.get(&key));
        let repeats = match before.map(|before| rule(before, &record.row)) {
            Some(Err(invalid)) => return Outcome::Refused(invalid),
            Some(Ok(Rule::Stands(since))) => return Outcome::Stands(since),
            Some(Ok(Rule::Replaces)) => false,
            Some(Ok(Rule::Repeats)) | None => true,
        };
        let mut replaces = !repeats;
        if let Some(first) = writes.remove(&key) {
            replaces |= first.replaces;
            record.preview = record.preview.or(first.record.preview.filter(|_| repeats));
        }
        writes.insert(key, Write { record, replaces });
        Outcome::Written
    };
    let outcomes = records.into_iter().map(one).collect();
    Plan { outcomes, writes: writes.into_values().collect() }
}

/// What a row is to the one of its scan that is stored.
#[derive(Debug, PartialEq)]
enum Rule {
    /// The same, which may not be in every table yet: it is written again.
    Repeats,
    /// Another, in place of one that no agent stands for.
    Replaces,
    /// Another that says the same: the one that is stored since then stands.
    Stands(Option<Timestamp>),
}

fn rule(stored: &Row, row: &Row) -> Result<Rule, Invalid> {
    if stored.owner != row.owner {
        return Err(reused(row, "is stored for another owner"));
    }
    if essence(stored) == essence(row) {
        return Ok(Rule::Repeats);
    }
    if !stored.settled {
        return Ok(Rule::Replaces);
    }
    match difference(stored, row) {
        None => Ok(Rule::Stands(stored.stored_at)),
        Some(what) => Err(reused(row, &format!("was stored before with another {what}, which stands"))),
    }
}

/// In what a row that was decided anew is of another scan, or says something else of it.
fn difference(stored: &Row, row: &Row) -> Option<&'static str> {
    let decision = |row: &Row| (row.verdict.call.to_pb(), row.verdict.call.reason());
    // A row without a time of its own was stamped anew when it arrived again. Images that could not be read have no checksum:
    // then the time decides.
    let (was, is) = (&stored.meta, &row.meta);
    let is_other_time = is.image == Image::Broken && was.acquired_at != is.acquired_at;
    [
        (was.egg_id != is.egg_id, "egg"),
        (was.place != is.place, "place"),
        (was.image != is.image, "image"),
        (is_other_time, "time"),
        (decision(stored) != decision(row), "decision"),
    ]
    .into_iter()
    .find_map(|(differs, what)| differs.then_some(what))
}

fn reused(row: &Row, why: &str) -> Invalid {
    let (scan_id, site) = (&row.meta.scan_id, row.meta.place.site());
    let message = format!("scan {scan_id} of site {site} {why}; give each scan of a site an id of its own");
    Invalid::field("scan_id", scan_id, "an id of its own for each scan of a site")
        .because(RejectCode::IdReused, message)
}

/// All that every write of a row says alike: the store stamps it, and the picture may be left out.
fn essence(row: &Row) -> Row {
    Row { stored_at: None, preview: None, ..row.clone() }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::pb::scan::v1::Preview;
    use ovomesh_api::{Call, EggId, Line};

    use super::*;

    fn row() -> Row {
        let mut row = Row { owner: "o".into(), settled: true, ..Row::example("north", "l", "1") };
        row.meta.egg_id = Some(EggId::parse("e").unwrap());
        (row.meta.acquired_at, row.meta.received_at) = (at(5), at(6));
        row.meta.image = Image::Whole(7);
        row
    }

    fn changed(change: impl FnOnce(&mut Row)) -> Row {
        let mut row = row();
        change(&mut row);
        row
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_first_row_of_a_settled_scan_stands() {
        let stored = changed(|row| row.stored_at = Some(at(900)));
        assert_eq!(rule(&stored, &row()), Ok(Rule::Repeats), "a retry of the same write");
        let again = changed(|row| (row.meta.received_at, row.meta.acquired_at) = (at(999), at(999)));
        assert_eq!(rule(&stored, &again), Ok(Rule::Stands(Some(at(900)))), "decided again, and alike");
        type Change = fn(&mut Row);
        let others: [(&str, Change); 6] = [
            ("another egg", |row| row.meta.egg_id = Some(EggId::parse("f").unwrap())),
            ("another place", |row| row.meta.place.line_id.line = Line::parse("m").unwrap()),
            ("another image", |row| row.meta.image = Image::Whole(8)),
            ("another decision", |row| row.verdict.call = Call::Female),
            ("another owner", |row| row.owner = "p".into()),
            ("another image", |row| (row.settled, row.meta.image) = (false, Image::Whole(8))),
        ];
        for (what, change) in others {
            let error = rule(&stored, &changed(change)).unwrap_err();
            assert_eq!(error.code, RejectCode::IdReused);
            assert!(
                error.message.contains(what) && error.message.contains("scan 1 of site north"),
                "{error}"
            );
        }
    }

    #[test]
    fn images_that_could_not_be_read_are_told_apart_by_their_time() {
        let broken = changed(|row| row.meta.image = Image::Broken);
        let mut again = broken.clone();
        again.meta.received_at = at(999);
        assert_eq!(rule(&broken, &again), Ok(Rule::Stands(None)));
        again.meta.acquired_at = at(999);
        let other = rule(&broken, &again).unwrap_err();
        assert!(other.message.contains("another time"), "{other}");
    }

    #[test]
    fn a_row_that_no_agent_stands_for_is_replaced_but_only_for_its_owner() {
        let stored = changed(|row| row.settled = false);
        let other = changed(|row| row.meta.image = Image::Whole(8));
        assert_eq!(rule(&stored, &other), Ok(Rule::Replaces));
        assert!(rule(&stored, &Row { owner: String::new(), ..other }).is_err());
    }

    fn record(row: Row, pixel: Option<u8>) -> Record {
        let preview = pixel.map(|pixel| Preview {
            columns: 1,
            rows: 1,
            pixels: vec![pixel].into(),
            ..Default::default()
        });
        Record::parse(Row { preview, ..row }.to_pb(), Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_batch_is_ruled_as_if_its_rows_came_one_after_the_other() {
        let other = changed(|row| row.meta.image = Image::Whole(8));
        let records = vec![record(row(), Some(1)), record(other, None), record(row(), None)];
        let Plan { outcomes, writes } = plan(records, &HashMap::new());
        assert!(
            matches!(outcomes[..], [Outcome::Written, Outcome::Refused(_), Outcome::Written]),
            "{outcomes:?}"
        );
        assert!(matches!(&writes[..], [Write { record, replaces: false }] if record.preview.is_some()));
    }

    #[test]
    fn a_picture_stays_with_its_own_row_only() {
        let (first, second) = (
            changed(|row| row.settled = false),
            changed(|row| (row.settled, row.meta.image) = (false, Image::Whole(8))),
        );
        let records = |second: &Row| vec![record(first.clone(), Some(1)), record(second.clone(), None)];
        let Plan { writes, .. } = plan(records(&second), &HashMap::new());
        assert!(matches!(&writes[..], [Write { record, replaces: true }] if record.preview.is_none()));
        let Plan { writes, .. } = plan(records(&first), &HashMap::new());
        assert!(matches!(&writes[..], [Write { record, replaces: false }] if record.preview.is_some()));
        let stored = HashMap::from([(record(first, None).key(), second)]);
        let Plan { writes, .. } = plan(vec![record(row(), None)], &stored);
        assert!(writes[0].replaces);
    }
}
