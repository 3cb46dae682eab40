//! A scan as an agent keeps it on disk: read by the agent itself, and by `ovomesh spool drain` when the agent is gone.

use jiff::Timestamp;

use crate::pb::scan::v1::Scan;
use crate::pb::spool::v1 as pb;
use crate::{Invalid, time};

/// A scan that was accepted and has no recorded verdict. What is in `scan` is checked by [`Scan::parse`](crate::Scan::parse).
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    /// As it came; `acquired_at` is set.
    pub scan: Scan,
    /// When it came.
    pub received_at: Timestamp,
    /// Until when it should be decided. The default: its time is over.
    pub deadline: pb::Deadline,
    /// Microseconds that had been added to the machine's clock for `received_at`. `None`: no gateway had told its time yet.
    pub clock_correction_us: Option<i64>,
    /// `acquired_at` is the agent's as well.
    pub acquired_here: bool,
}

impl Spooled {
    /// Checks a record. One that does not say when its scan came is damaged: no agent writes such a record.
    pub fn parse(spooled: pb::Spooled) -> Result<Self, Invalid> {
        let received_at = spooled.received_at.ok_or_else(|| Invalid::field("received_at", "", "present"))?;
        Ok(Self {
            scan: spooled.scan.ok_or_else(|| Invalid::field("scan", "", "present"))?,
            received_at: time::from_pb("received_at", received_at)?,
            deadline: spooled.deadline.unwrap_or_default(),
            clock_correction_us: spooled.clock_correction_us,
            acquired_here: spooled.acquired_here,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_its_scan_or_its_time_is_damaged() {
        let at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
        let whole = pb::Spooled { scan: Some(Scan::default()), received_at: at, ..Default::default() };
        let parsed = Spooled::parse(whole.clone()).unwrap();
        assert_eq!((parsed.deadline, parsed.clock_correction_us), (pb::Deadline::default(), None));
        let untimed = pb::Spooled { received_at: None, ..whole.clone() };
        assert_eq!(Spooled::parse(untimed).unwrap_err().field, "received_at");
        let empty = pb::Spooled { scan: None, ..whole };
        assert_eq!(Spooled::parse(empty).unwrap_err().field, "scan");
    }
}
