//! What is on disk, and how it is read: `spool.v1` has the messages.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use ovomesh_api::pb::scan::v1::Scan;
use ovomesh_api::pb::spool::v1::Recorded;
use ovomesh_api::time::Given;
use ovomesh_api::{RecordedRow, Spooled, pb, time};
use prost::Message as _;
use tokio::time::Instant;

use crate::clock::{self, Stamp};
use crate::deadline;

/// A scan and what belongs to it.
#[derive(Debug)]
pub struct SpooledScan {
    /// As it came.
    pub scan: Scan,
    /// When it came.
    pub received_at: Timestamp,
    /// Until when it should be decided.
    pub deadline: Instant,
    /// By what clock it was stamped.
    pub stamp: Stamp,
}

/// A scan for the spool.
pub fn write_scan(kept: SpooledScan) -> Bytes {
    let since_boot = kept.stamp.offset.map(|offset| clock::offset(kept.received_at, offset).as_millis());
    let spooled = pb::spool::v1::Spooled {
        scan: Some(kept.scan),
        received_at: Some(time::to_pb(kept.received_at)),
        deadline: Some(deadline::write(kept.deadline)),
        clock_correction_us: kept.stamp.correction,
        received_since_boot_ms: since_boot.and_then(|ms| i64::try_from(ms).ok()),
        acquired_here: kept.stamp.given != Given::Time,
        acquired_at_replaced: kept.stamp.given == Given::Nonsense,
    };
    spooled.encode_to_vec().into()
}

/// A scan from the spool.
pub fn read_scan(bytes: Bytes) -> Result<SpooledScan, String> {
    let spooled = pb::spool::v1::Spooled::decode(bytes).map_err(|error| error.to_string())?;
    let Spooled { scan, received_at, deadline, clock_correction_us, received_since_boot, given } =
        Spooled::parse(spooled).map_err(|error| error.to_string())?;
    let since_boot = received_since_boot.filter(|_| deadline::is_of_this_boot(&deadline));
    let offset = since_boot.map(|since_boot| clock::offset(received_at, since_boot));
    let stamp = Stamp { offset, correction: clock_correction_us, given };
    Ok(SpooledScan { scan, received_at, deadline: deadline::read(&deadline), stamp })
}

/// A row for the spool, which is recorded now.
pub fn write_row(row: &RecordedRow) -> Bytes {
    let recorded = Recorded { at: Some(deadline::write(Instant::now())) };
    [row.bytes(), &*recorded.encode_to_vec()].concat().into()
}

/// How long ago a row from the spool was recorded; None when nobody knows: before the machine's last boot, or by an agent
/// that did not say.
pub fn age(bytes: Bytes) -> Option<Duration> {
    deadline::age(&Recorded::decode(bytes).ok()?.at?)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use ovomesh_api::Row;

    use super::*;

    fn row() -> RecordedRow {
        RecordedRow::new(Row::example("north", "1", "7"))
    }

    #[test]
    fn a_row_comes_back_with_its_age() {
        let begun = std::time::Instant::now();
        let recorded = write_row(&row());
        assert_eq!(RecordedRow::read(&recorded), Ok(row()));
        let age = age(recorded).expect("it is of this boot");
        assert!(age <= begun.elapsed() + Duration::from_millis(1), "{age:?}");
    }

    #[test]
    fn a_scan_of_this_boot_is_known_by_the_clock_since_boot_and_one_of_before_is_not() {
        let stamp = Stamp {
            offset: Some(SignedDuration::from_millis(1_795_510_800_123)),
            correction: Some(7),
            given: Given::Nonsense,
        };
        let received_at = Timestamp::from_second(1_795_520_000).unwrap();
        let kept = SpooledScan { scan: Scan::default(), received_at, deadline: Instant::now(), stamp };
        let bytes = write_scan(kept);
        assert_eq!(read_scan(bytes.clone()).unwrap().stamp, stamp);
        let mut elsewhere = pb::spool::v1::Spooled::decode(bytes).unwrap();
        elsewhere.deadline.as_mut().unwrap().boot_id = "another".into();
        let read = read_scan(elsewhere.encode_to_vec().into()).unwrap();
        assert_eq!(read.stamp, Stamp { offset: None, ..stamp });
    }

    #[test]
    fn what_the_agent_before_recorded_is_read_and_nobody_knows_its_age() {
        let before = row().bytes().clone();
        assert_eq!((RecordedRow::read(&before), age(before)), (Ok(row()), None));
    }
}
