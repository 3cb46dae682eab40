//! Scans that come again long after they were stored, when their agent has forgotten them: a scanner's console sends an old
//! series, somebody drops an old file. They were decided anew, but the first row stands. Pure.
//!
//! Nobody reads before a write of a live scan: only rows of scans that are old by their own time are looked up.

use jiff::SignedDuration;
use ovomesh_api::pb::scan::v1::{RejectCode, Row};
use ovomesh_api::{Invalid, time};

/// A scan that was acquired longer before (or after: clocks are off both ways) it was received may have been stored before.
/// An agent knows its scans for twice this time, and no live scan is as old: lines have a minute at most.
const OLD: SignedDuration = SignedDuration::from_mins(5);

/// Whether the row's scan may have been stored before and forgotten by its agent. A scan without a time of its own never is:
/// its agent stamped it when it came. Without an agent the later decision stands.
pub fn may_be_repeat(row: &Row) -> bool {
    if !row.settled {
        return false;
    }
    let times = row.acquired_at.zip(row.received_at);
    let age = times.and_then(|(acquired, received)| {
        let acquired = time::from_pb("acquired_at", acquired).ok()?;
        Some(time::from_pb("received_at", received).ok()?.duration_since(acquired))
    });
    age.is_some_and(|age| age.abs() > OLD)
}

/// When the scan was stored, if what is stored stands and `row` need not be written: it is another row with the same
/// decision about the same image. `None`: write it. It is the same row, which may not be in every table yet; or nobody stands
/// for the one that is stored.
///
/// # Errors
/// When the decisions differ, or the images.
pub fn standing(stored: &Row, row: &Row) -> Result<Option<prost_types::Timestamp>, Invalid> {
    if !stored.settled || essence(stored) == essence(row) {
        return Ok(None);
    }
    let differs = |what: &str| {
        let message = format!("scan {} was stored before with another {what}, which stands", row.scan_id);
        Invalid::field("scan_id", &row.scan_id, "an id of its own for each scan")
            .because(RejectCode::IdReused, message)
    };
    if stored.volume_crc32c != row.volume_crc32c {
        return Err(differs("image"));
    }
    let decision = |row: &Row| row.verdict.as_ref().map(|verdict| (verdict.call, verdict.reason));
    if decision(stored) != decision(row) {
        return Err(differs("decision"));
    }
    Ok(stored.stored_at)
}

/// All that every write of a row says alike: the store stamps it, the gateway names its owner, the picture may be left out.
fn essence(row: &Row) -> Row {
    Row { stored_at: None, owner: String::new(), preview: None, ..row.clone() }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::pb::scan::v1::{Call, Verdict};

    use super::*;

    fn row(acquired: i64, received: i64) -> Row {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let verdict = Verdict { scan_id: "s".into(), call: Call::Male.into(), ..Default::default() };
        Row {
            scan_id: "s".into(),
            acquired_at: at(acquired),
            received_at: at(received),
            volume_crc32c: 7,
            settled: true,
            verdict: Some(verdict),
            ..Default::default()
        }
    }

    #[test]
    fn only_a_scan_that_is_old_by_its_own_time_is_looked_up() {
        for (acquired, received, old) in [(0, 0, false), (0, 300, false), (0, 301, true), (301, 0, true)] {
            assert_eq!(may_be_repeat(&row(acquired, received)), old, "{acquired} {received}");
        }
        assert!(!may_be_repeat(&Row { received_at: None, ..row(0, 0) }));
        assert!(!may_be_repeat(&Row { settled: false, ..row(0, 301) }), "no agent");
    }

    #[test]
    fn the_first_row_stands_and_another_decision_is_told() {
        let at = Some(prost_types::Timestamp { seconds: 900, nanos: 0 });
        let stored = Row { stored_at: at, owner: "o".into(), ..row(0, 1) };
        assert_eq!(standing(&stored, &row(0, 1)), Ok(None), "a retry of the same write");
        assert_eq!(standing(&stored, &row(0, 999)), Ok(at), "decided again, and alike");
        let mut other = row(0, 999);
        other.verdict.as_mut().unwrap().call = Call::Female.into();
        let error = standing(&stored, &other).unwrap_err();
        assert!(error.message.contains("another decision, which stands"), "{error}");
        let error = standing(&stored, &Row { volume_crc32c: 8, ..row(0, 999) }).unwrap_err();
        assert!(error.message.contains("another image, which stands"), "{error}");
        assert_eq!(standing(&Row { settled: false, ..stored }, &other), Ok(None), "nobody stands for it");
    }
}
